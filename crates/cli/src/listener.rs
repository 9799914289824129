//! What is heard of a long operation, said: notes as lines, progress as bars.

use headstart::{Event, Note};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::progress::{ExtractProgress, FoldProgress};
use crate::report;

/// Says what it hears, and keeps the notes.
#[derive(Default)]
pub(crate) struct Listener {
    notes: Vec<Note>,
    /// Warnings that are still to be said: they have their place beside what they are about.
    held: Vec<Note>,
    holds: bool,
    progress: Option<ExtractProgress>,
    folds: Option<FoldProgress>,
    download: Option<ProgressBar>,
}

impl Listener {
    /// One whose warnings wait for [`say_held`](Self::say_held).
    pub(crate) fn holding() -> Self {
        Self { holds: true, ..Self::default() }
    }

    /// Keeps warnings from now on.
    pub(crate) fn hold(&mut self) {
        self.holds = true;
    }

    /// Says an event.
    pub(crate) fn hear(&mut self, event: Event) {
        match event {
            Event::Note(note) => {
                self.notes.push(note.clone());
                if self.holds && note.is_warning() {
                    self.held.push(note)
                } else {
                    self.say(&note.to_string());
                }
            }
            Event::Progress(state) => {
                self.progress.get_or_insert_with(ExtractProgress::new).update(state);
                if state.n_done >= state.n_inputs - state.n_unchanged {
                    self.finish();
                }
            }
            Event::Epoch(epoch) => self.say(&epoch.to_string()),
            Event::Fold(fitted) => self.folds.get_or_insert_with(FoldProgress::new).update(fitted),
            Event::Download { is_over: true, .. } => {
                if let Some(bar) = self.download.take() {
                    bar.finish_and_clear();
                }
            }
            Event::Download { url, n_bytes, n_total, .. } => {
                let bar = self.download.get_or_insert_with(|| download_bar(&url, n_total));
                bar.set_position(n_bytes);
            }
            _ => {}
        }
    }

    /// Says a line above what moves.
    fn say(&self, line: &str) {
        let bar = self.progress.as_ref().map(|it| &it.bar).or(self.folds.as_ref().map(|it| &it.bar));
        match bar {
            Some(bar) => bar.suspend(|| report::say(line)),
            None => report::say(line),
        }
    }

    /// Takes the progress away.
    pub(crate) fn finish(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        if let Some(folds) = self.folds.take() {
            folds.finish();
        }
    }

    /// Says the warnings that are about something.
    pub(crate) fn say_held(&mut self, is_about: impl Fn(&Note) -> bool) {
        for note in self.held.extract_if(.., |it| is_about(it)) {
            report::say(note.to_string());
        }
    }

    /// Adds all notes to an object for a program, where there are any: what they are, and in words.
    pub(crate) fn add_to(&self, object: &mut Value) {
        let value = |it: &Note| {
            let mut value = json!(it);
            value["text"] = json!(it.to_string());
            value
        };
        if !self.notes.is_empty() {
            object["notes"] = self.notes.iter().map(value).collect();
        }
    }
}

fn download_bar(url: &str, n_total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::new(n_total.unwrap_or(0));
    let style = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
    bar.set_message(url.rsplit('/').next().unwrap_or(url).to_owned());
    bar
}
