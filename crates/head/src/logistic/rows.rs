//! Where rows come from: an array in memory, or anything that can go through them again and again.

use std::sync::{Mutex, PoisonError};

use ndarray::ArrayView2;

use crate::error::HeadError;
use crate::feature::Feature;

/// Rows of features that can be gone through any number of times, always in the same order.
///
/// An array view is one batch. A store larger than memory is a source that reads its batches anew each
/// time; the fit is the same, and holds one batch at a time.
pub trait RowSource: Sync {
    /// Type of a feature.
    type Elem: Feature;

    /// Number of rows and of features.
    fn dim(&self) -> (usize, usize);

    /// Calls `visit` with the index of its first row and the rows of each batch, row-major, from row 0 on.
    ///
    /// # Errors
    /// [`HeadError::Source`] when rows cannot be read; nothing else may be returned.
    fn for_each_batch(&self, visit: &mut Visit<'_, Self::Elem>) -> Result<(), HeadError>;

    /// Whether all rows are in memory and may be copied as `f32`.
    fn is_in_memory(&self) -> bool {
        false
    }
}

/// What is called with the index of its first row and the rows of a batch, row-major.
pub type Visit<'a, A> = dyn FnMut(usize, &[A]) + 'a;

impl<A: Feature> RowSource for ArrayView2<'_, A> {
    type Elem = A;

    fn dim(&self) -> (usize, usize) {
        ArrayView2::dim(self)
    }

    fn for_each_batch(&self, visit: &mut Visit<'_, A>) -> Result<(), HeadError> {
        // A copy only where the view is of columns, or turned.
        visit(0, self.as_standard_layout().as_slice().expect("in standard layout"));
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        true
    }
}

/// A source that remembers why it failed. The solver sees no more than an objective that is not a number.
pub(crate) struct Remembering<'a, S> {
    source: &'a S,
    failure: Mutex<Option<HeadError>>,
}

impl<'a, S: RowSource> Remembering<'a, S> {
    pub(crate) fn new(source: &'a S) -> Self {
        Self { source, failure: Mutex::new(None) }
    }

    /// The result; where it is an error and rows could not be read on the way, then that error.
    pub(crate) fn blame<T>(&self, result: Result<T, HeadError>) -> Result<T, HeadError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.map_err(|err| failure.unwrap_or(err))
    }
}

impl<S: RowSource> RowSource for Remembering<'_, S> {
    type Elem = S::Elem;

    fn dim(&self) -> (usize, usize) {
        self.source.dim()
    }

    fn for_each_batch(&self, visit: &mut Visit<'_, S::Elem>) -> Result<(), HeadError> {
        self.source.for_each_batch(visit).map_err(|err| {
            let told = HeadError::Source(err.to_string().into());
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(err);
            told
        })
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }
}
