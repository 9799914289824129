//! Inputs of equal content: run once, delivered each.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headstart_store::{Digest, FileStat};

use crate::row::{ItemError, Known};

/// Which input of a run something is of.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    /// Index of the input in the sources.
    pub(crate) index: usize,
    pub(crate) digest: Digest,
    pub(crate) stat: Option<FileStat>,
}

/// What became of content.
#[derive(Clone)]
pub(crate) enum Fate {
    /// It has a row: its values, unless the caller keeps them.
    Row(Option<Arc<[f32]>>),
    /// It has none.
    Failed(Arc<ItemError>),
}

/// What is to be done with an input whose content was read.
pub(crate) enum Claim {
    /// It is the first of its content: it is to be run, and settled.
    First,
    /// Its original is on its way: it is delivered with that.
    Waits,
    /// What became of its content is known.
    Settled(Fate),
}

/// The contents of a run; threads share them.
pub(crate) struct Claims<'a> {
    known: Known<'a>,
    /// What it costs to remember a row, in bytes.
    bytes_per_row: usize,
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    of: HashMap<Digest, Content>,
    /// Those that are settled, the oldest first, where rows are remembered here.
    remembered: VecDeque<Digest>,
}

enum Content {
    OnItsWay(Vec<Origin>),
    Settled(Fate),
}

/// What a map and a queue cost for an entry, about.
const BYTES_PER_ENTRY: usize = 192;

impl<'a> Claims<'a> {
    /// `width` is that of a row.
    pub(crate) fn new(known: Known<'a>, width: usize) -> Self {
        let bytes_per_row = BYTES_PER_ENTRY + width * size_of::<f32>();
        Self { known, bytes_per_row, contents: Mutex::default() }
    }

    /// Asks what is to be done with an input.
    pub(crate) fn claim(&self, origin: Origin) -> Claim {
        if let Known::Rows(is_known) = self.known
            && is_known(&origin.digest)
        {
            return Claim::Settled(Fate::Row(None));
        }
        let mut contents = self.lock();
        match contents.of.get_mut(&origin.digest) {
            None => {
                contents.of.insert(origin.digest, Content::OnItsWay(Vec::new()));
                Claim::First
            }
            Some(Content::OnItsWay(waiting)) => {
                waiting.push(origin);
                Claim::Waits
            }
            Some(Content::Settled(fate)) => Claim::Settled(fate.clone()),
        }
    }

    /// Says what became of content; takes the inputs that waited for it, and what becomes of them.
    pub(crate) fn settle(&self, digest: Digest, fate: &Fate) -> (Vec<Origin>, Fate) {
        let of_copies = match (self.known, fate) {
            (Known::Rows(_), Fate::Row(_)) => Fate::Row(None),
            (_, fate) => fate.clone(),
        };
        let mut contents = self.lock();
        let before = contents.of.insert(digest, Content::Settled(of_copies.clone()));
        if let Known::Nothing = self.known {
            contents.remembered.push_back(digest);
            // What is forgotten is run again if it comes again: memory does not grow with the inputs.
            while contents.remembered.len() * self.bytes_per_row > Known::REMEMBERED_BYTES {
                if let Some(oldest) = contents.remembered.pop_front() {
                    contents.of.remove(&oldest);
                }
            }
        }
        match before {
            Some(Content::OnItsWay(waiting)) => (waiting, of_copies),
            _ => (Vec::new(), of_copies),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(index: usize, content: u64) -> Origin {
        Origin { index, digest: Digest::of(&content.to_le_bytes()), stat: None }
    }

    #[test]
    fn copies_wait_for_their_original_and_share_its_fate() {
        for known in [Known::Nothing, Known::Rows(&|_| false)] {
            let claims = Claims::new(known, 2);
            let first = origin(0, 7);
            assert!(matches!(claims.claim(first), Claim::First));
            assert!(matches!(claims.claim(origin(1, 7)), Claim::Waits));
            assert!(matches!(claims.claim(origin(2, 8)), Claim::First));
            let row: Arc<[f32]> = [1.0, 2.0].into();
            let (waited, _) = claims.settle(first.digest, &Fate::Row(Some(row)));
            assert_eq!(waited.iter().map(|it| it.index).collect::<Vec<_>>(), [1]);
            let Claim::Settled(Fate::Row(values)) = claims.claim(origin(3, 7)) else {
                panic!("it is settled")
            };
            // The caller keeps them, or they are remembered.
            assert_eq!(values.is_some(), matches!(known, Known::Nothing));
            claims.settle(origin(2, 8).digest, &Fate::Failed(Arc::new(ItemError::Changed)));
            assert!(matches!(claims.claim(origin(4, 8)), Claim::Settled(Fate::Failed(_))));
        }
    }

    /// A million inputs, none equal: what is remembered of them stays within its bytes.
    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let claims = Claims::new(Known::Nothing, 1000);
        let row: Arc<[f32]> = vec![0.0; 1000].into();
        let most = Known::REMEMBERED_BYTES / (4000 + BYTES_PER_ENTRY);
        for content in 0..3 * most as u64 {
            assert!(matches!(claims.claim(origin(0, content)), Claim::First));
            claims.settle(origin(0, content).digest, &Fate::Row(Some(Arc::clone(&row))));
        }
        let contents = claims.lock();
        assert_eq!((contents.of.len(), contents.remembered.len()), (most, most));
        drop(contents);
        assert!(matches!(claims.claim(origin(0, 3 * most as u64 - 1)), Claim::Settled(_)));
        assert!(matches!(claims.claim(origin(0, 0)), Claim::First), "it was forgotten, and is run again");
    }
}
