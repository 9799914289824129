//! Heads as values and as files.

use super::*;

#[test]
fn a_head_file_round_trips_and_is_reproducible() {
    let head = head();
    let bytes = head.to_bytes().unwrap();
    assert_eq!(HeadModel::from_bytes(&bytes).unwrap(), head);
    assert_eq!(head.to_bytes().unwrap(), bytes);
}

#[test]
fn damaged_head_files_are_errors_and_never_another_head() {
    let bytes = head().to_bytes().unwrap();
    let mut n_cases = 0;
    for position in 0..bytes.len() {
        HeadModel::from_bytes(&bytes[..position]).expect_err("a part of a head is no head");
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            // Spaces of the container's own header say nothing, and nothing else is there.
            if let Ok(head) = HeadModel::from_bytes(&damaged) {
                assert_eq!(head, self::head(), "byte {position}");
            }
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 4 * bytes.len());
    let err = HeadModel::from_bytes(b"ONNX").unwrap_err().to_string();
    assert!(err.starts_with("not a readable head file: "), "{err}");
}

#[test]
fn a_head_refuses_other_features_and_other_spaces() {
    let head = head();
    let err = head.predict(Array2::<f32>::zeros((1, 5)).view()).unwrap_err().to_string();
    assert_eq!(err, "expected 4 features, got 5");
    assert!(head.check_fingerprint("f", Vec::new).is_ok());
    let err =
        head.check_fingerprint("g", || vec![["tap", "a", "b"].map(str::to_owned)]).unwrap_err().to_string();
    assert_eq!(err, "the head was fitted on embeddings of another space, which differs in tap");
}

#[test]
fn probabilities_sum_to_one_and_ignore_a_constant_in_the_logits() {
    let mut head = head();
    let (x, _) = relu_features(20, 4, 3, 16);
    let before = head.predict(x.view()).unwrap();
    head.layers[0].bias += 700.0;
    let after = head.predict(x.view()).unwrap();
    for (a, b) in before.outer_iter().zip(after.outer_iter()) {
        assert!((a.sum() - 1.0).abs() < 1e-12);
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}

#[test]
fn heads_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<HeadModel>();
    check::<HeadError>();
    check::<LogisticFit>();
    check::<Ridge>();
}
