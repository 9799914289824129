//! Checks shared by all fits, and the two float types features come in.

use ndarray::ArrayView2;

use crate::error::HeadError;

/// A float a feature may be stored as: `f32` (embeddings) or `f64` (tables).
pub trait Feature: Copy + Send + Sync + Into<f64> + 'static {}
impl Feature for f32 {}
impl Feature for f64 {}

/// Refuses an empty matrix, and rows that do not match `y_len`.
pub(crate) fn check_shape((n_rows, n_features): (usize, usize), y_len: usize) -> Result<(), HeadError> {
    if n_rows != y_len {
        return Err(HeadError::SampleCountMismatch { x_rows: n_rows, y_len });
    }
    if n_rows == 0 || n_features == 0 { Err(HeadError::NoSamples) } else { Ok(()) }
}

/// Refuses what [`check_shape`] does, and values that are not finite.
pub(crate) fn check_features<A: Feature>(x: ArrayView2<'_, A>, y_len: usize) -> Result<(), HeadError> {
    check_shape(x.dim(), y_len)?;
    let bad = |(_, value): &(_, &A)| !Into::<f64>::into(**value).is_finite();
    match x.indexed_iter().find(bad) {
        Some(((sample, feature), _)) => Err(HeadError::NonFinite { sample, feature }),
        None => Ok(()),
    }
}

pub(crate) fn check_weights(weights: Option<&[f64]>, n_samples: usize) -> Result<(), HeadError> {
    let Some(weights) = weights else {
        return Ok(());
    };
    if weights.len() != n_samples {
        return Err(HeadError::SampleCountMismatch { x_rows: n_samples, y_len: weights.len() });
    }
    if let Some(sample) = weights.iter().position(|it| !it.is_finite() || *it < 0.0) {
        return Err(HeadError::InvalidWeight { sample, weight: weights[sample] });
    }
    if weights.iter().sum::<f64>() <= 0.0 {
        return Err(HeadError::InvalidWeight { sample: 0, weight: 0.0 });
    }
    Ok(())
}

pub(crate) fn check_alpha(alpha: f64) -> Result<(), HeadError> {
    if alpha.is_finite() && alpha > 0.0 { Ok(()) } else { Err(HeadError::InvalidAlpha { alpha }) }
}
