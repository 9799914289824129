//! Splits: what the parts of a dataset are for, by the names that people give them.

use crate::error::Error;

/// What a split is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Fitted on.
    Train,
    /// Chosen by.
    Validation,
    /// Judged by.
    Test,
    /// None of these.
    Other,
}

/// Words that stand for a role, and those that may stand beside them and say nothing of it.
const TRAIN: [&str; 4] = ["train", "training", "trn", "learn"];
const VALIDATION: [&str; 7] = ["val", "valid", "validation", "validate", "validating", "dev", "development"];
const TEST: [&str; 8] = ["test", "testing", "tst", "eval", "evaluation", "evaluate", "holdout", "heldout"];
const BESIDE: [&str; 16] = [
    "set", "sets", "split", "seg", "data", "dataset", "image", "images", "img", "imgs", "picture",
    "pictures", "sample", "samples", "public", "private",
];

/// The role that a split's name stands for: `train`, `Training_set`, `seg_test`, `val2017`, `hold-out`, …
pub(crate) fn role_of(split: &str) -> Option<Role> {
    let lower = split.to_lowercase();
    let words = lower.split(|it: char| !it.is_alphabetic()).filter(|it| !BESIDE.contains(it));
    let word: String = words.collect();
    let is_one_of = |words: &[&str]| {
        // `PublicTest` and `PrivateTest` are two halves of a test.
        let half = word.strip_prefix("public").or(word.strip_prefix("private")).unwrap_or(&word);
        let bare = half.strip_suffix("set").or(half.strip_suffix("data")).unwrap_or(half);
        words.contains(&word.as_str()) || words.contains(&bare)
    };
    match () {
        () if is_one_of(&TRAIN) => Some(Role::Train),
        () if is_one_of(&VALIDATION) => Some(Role::Validation),
        () if is_one_of(&TEST) => Some(Role::Test),
        () => None,
    }
}

/// As [`role_of`], for a name that must have one.
///
/// # Errors
/// [`Error::UnknownSplit`].
pub(crate) fn role(split: &str) -> Result<Role, Error> {
    role_of(split).ok_or_else(|| Error::UnknownSplit { split: split.to_owned() })
}

/// Whether a name is of one of several parts that take turns: `fold1`, `cv_3`, `part-2`. Numbers alone are as
/// often classes.
pub(crate) fn is_fold(name: &str) -> bool {
    let lower = name.to_lowercase();
    let word = lower.trim_end_matches(|it: char| it.is_ascii_digit());
    let has_number = word.len() < lower.len();
    let word = word.trim_end_matches(|it: char| !it.is_alphabetic());
    has_number && ["fold", "cv", "part", "split", "set", "chunk", "batch", "k"].contains(&word)
}

/// Indices of the samples of one role.
pub(crate) fn rows_of(roles: &[Role], wanted: Role) -> Vec<usize> {
    (0..roles.len()).filter(|it| roles[*it] == wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_use_stand_for_their_roles() {
        let train = [
            "train",
            "Training",
            "TRAIN",
            "training_set",
            "seg_train",
            "train2017",
            "trainset",
            "train-data",
        ];
        let validation = ["val", "valid", "validation", "dev", "val2017", "validation_set", "valid-images"];
        let test = [
            "test",
            "Testing",
            "test_set",
            "seg_test",
            "evaluation",
            "holdout",
            "hold-out",
            "hold_out",
            "eval",
            "PublicTest",
            "PrivateTest",
            "public_test",
        ];
        let none = [
            "ants",
            "latest",
            "trains",
            "valley",
            "fold1",
            "1",
            "",
            "set",
            "extra",
            "train val",
            "bullet train",
        ];
        let of = |names: &[&str]| names.iter().map(|it| role_of(it)).collect::<Vec<_>>();
        assert_eq!(of(&train), [Some(Role::Train); 8]);
        assert_eq!(of(&validation), [Some(Role::Validation); 7]);
        assert_eq!(of(&test), [Some(Role::Test); 12]);
        assert_eq!(of(&none), [None; 11]);
    }

    #[test]
    fn folds_have_a_number() {
        assert!(["fold1", "Fold_2", "cv-3", "part01", "split 5"].iter().all(|it| is_fold(it)));
        assert!(!["fold", "ants", "ant1", "train1", "", "4", "0017"].iter().any(|it| is_fold(it)));
    }
}
