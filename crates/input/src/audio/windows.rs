//! Windows of a sound, cut as its samples come.

use super::recipe::Filling;

/// Cuts samples that come block by block into windows of one length.
///
/// A window begins every `hop` samples; the last one ends where the sound ends, so that nothing of it is left out and
/// nothing is made up. A sound shorter than a window is filled up, where a length is all that the model takes.
pub(crate) struct Windows {
    length: usize,
    hop: usize,
    filling: Option<Filling>,
    /// Samples from `held_from` on.
    held: Vec<f32>,
    held_from: u64,
    /// Where the next window begins.
    next: u64,
    /// Where the last one ended.
    covered: u64,
}

impl Windows {
    /// `filling` says what a shorter sound is filled up with; without it, it stays as short as it is.
    pub(crate) fn new(length: usize, hop: usize, filling: Option<Filling>) -> Self {
        Self { length, hop, filling, held: Vec::new(), held_from: 0, next: 0, covered: 0 }
    }

    /// Where samples are to be appended.
    pub(crate) fn held_mut(&mut self) -> &mut Vec<f32> {
        &mut self.held
    }

    /// Samples so far.
    pub(crate) fn n_samples(&self) -> u64 {
        self.held_from + self.held.len() as u64
    }

    /// The next window of which all samples have come.
    pub(crate) fn whole(&mut self) -> Option<Vec<f32>> {
        let begin = self.index(self.next);
        let window = self.held.get(begin..begin.checked_add(self.length)?)?.to_vec();
        self.covered = self.next + self.length as u64;
        self.next += self.hop as u64;
        // What a last window may still need stays.
        let needed = self.next.min(self.covered.saturating_sub(self.length as u64 - 1));
        let n_past = self.index(needed).min(self.held.len());
        if n_past > self.length.max(self.held.len() / 2) {
            self.held.drain(..n_past);
            self.held_from += n_past as u64;
        }
        Some(window)
    }

    /// The window at the end of the sound, where the others do not reach that.
    pub(crate) fn last(&mut self) -> Option<Vec<f32>> {
        let n = self.n_samples();
        if n <= self.covered {
            return None;
        }
        self.covered = n;
        let begin = self.index(n.saturating_sub(self.length as u64));
        let mut window = self.held.get(begin..)?.to_vec();
        match self.filling {
            Some(Filling::Zeros) => window.resize(self.length, 0.0),
            Some(Filling::Repeat) => {
                let n = window.len();
                (n..self.length).for_each(|it| window.push(window[it % n]));
            }
            None => {}
        }
        Some(window)
    }

    fn index(&self, place: u64) -> usize {
        usize::try_from(place.saturating_sub(self.held_from)).unwrap_or(usize::MAX)
    }
}
