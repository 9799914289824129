//! Labels: what a sample is known to be.

use std::fmt;

/// What a sample is known to be.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Label {
    /// The one class it belongs to. May hold any text.
    Class(String),
    /// The labels it has, any number of them.
    Classes(Vec<String>),
    /// Its targets, finite.
    Numbers(Vec<f64>),
}

/// What stands between several in one text.
const BETWEEN: char = '|';
/// What takes a character its meaning.
const ESCAPE: char = '\\';

/// As one text, the form that tables of text have it in: a class as it is, several joined by `|`, none of
/// several as a lone `|`; a `|` or `\` within a class has a `\` before it.
/// [`Label::from_texts`] reads it, but for what texts cannot tell: a single number is a class, several names that
/// are all numbers are numbers, and spaces around names are nobody's.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = match self {
            Self::Class(class) => vec![escaped(class)],
            Self::Classes(classes) if classes.is_empty() => vec![String::new(); 2],
            // A single one of several: what tells it from a class is the bar.
            Self::Classes(classes) if classes.len() == 1 => vec![escaped(&classes[0]), String::new()],
            Self::Classes(classes) => classes.iter().map(|it| escaped(it)).collect(),
            Self::Numbers(numbers) => numbers.iter().map(f64::to_string).collect(),
        };
        f.write_str(&texts.join("|"))
    }
}

impl Label {
    /// The labels of a dataset from their texts, all of one kind.
    ///
    /// Where no text has a `|` that is not escaped, each is a [`Class`](Self::Class), numbers too: what they
    /// are taken for is for a fit to say. Else all are [`Numbers`](Self::Numbers), where every text is as
    /// many finite numbers; or [`Classes`](Self::Classes), empty names and spaces around names left out.
    ///
    /// # Examples
    /// ```
    /// use headstart_store::Label;
    ///
    /// fn read(texts: &[&str]) -> Vec<Label> {
    ///     Label::from_texts(texts.iter().copied()).collect()
    /// }
    /// let names = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    /// assert_eq!(read(&["cat", r"black\|white"]), [
    ///     Label::Class("cat".to_owned()),
    ///     Label::Class("black|white".to_owned()),
    /// ]);
    /// assert_eq!(read(&["cat", "cat|dog", "|"]), [
    ///     Label::Classes(names(&["cat"])),
    ///     Label::Classes(names(&["cat", "dog"])),
    ///     Label::Classes(vec![]),
    /// ]);
    /// assert_eq!(read(&["1.5|2"]), [Label::Numbers(vec![1.5, 2.0])]);
    /// ```
    pub fn from_texts<'a>(
        texts: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
    ) -> impl Iterator<Item = Self> {
        let texts = texts.into_iter();
        let has_several = texts.clone().any(|it| split(it).nth(1).is_some());
        let width = texts.clone().next().map_or(0, |it| split(it).count());
        let are_numbers =
            has_several && texts.clone().all(|it| numbers(it).is_some_and(|it| it.len() == width));
        texts.map(move |text| match (has_several, numbers(text).filter(|_| are_numbers)) {
            (_, Some(numbers)) => Self::Numbers(numbers),
            (false, None) => Self::Class(split(text).collect::<String>()),
            (true, None) => {
                let names = split(text).map(|it| it.trim().to_owned());
                Self::Classes(names.filter(|it| !it.is_empty()).collect())
            }
        })
    }

    /// Makes labels of several kinds labels of one, as their texts would be read.
    pub fn make_alike<'a>(labels: impl IntoIterator<Item = &'a mut Self>) {
        let labels: Vec<&mut Self> = labels.into_iter().collect();
        // As many numbers for each, or none of them are numbers.
        let kind =
            |it: &Self| (std::mem::discriminant(it), if let Self::Numbers(it) = it { it.len() } else { 0 });
        if labels.windows(2).all(|it| kind(it[0]) == kind(it[1])) {
            return;
        }
        let texts: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let alike = Self::from_texts(texts.iter().map(String::as_str));
        labels.into_iter().zip(alike).for_each(|(label, alike)| *label = alike);
    }

    /// Shows the bytes that make this label what it is to `update`: labels of different meaning have
    /// different bytes, and so has none.
    pub fn identify(label: Option<&Self>, update: &mut dyn FnMut(&[u8])) {
        let text = |it: &str, update: &mut dyn FnMut(&[u8])| {
            update(&(it.len() as u64).to_le_bytes());
            update(it.as_bytes());
        };
        // No text is as long as these.
        let begin = |kind: u64, n: usize, update: &mut dyn FnMut(&[u8])| {
            update(&(u64::MAX - kind).to_le_bytes());
            update(&(n as u64).to_le_bytes());
        };
        match label {
            None => update(&u64::MAX.to_le_bytes()),
            // As a text, which every label was in stores of before.
            Some(Self::Class(class)) => text(class, update),
            Some(Self::Classes(classes)) => {
                begin(1, classes.len(), update);
                classes.iter().for_each(|it| text(it, update));
            }
            Some(Self::Numbers(numbers)) => {
                begin(2, numbers.len(), update);
                numbers.iter().for_each(|it| update(&it.to_le_bytes()));
            }
        }
    }
}

fn escaped(class: &str) -> String {
    let special = |it: &char| *it == BETWEEN || *it == ESCAPE;
    class.chars().flat_map(|it| Some(ESCAPE).filter(|_| special(&it)).into_iter().chain([it])).collect()
}

/// The texts between bars, escapes undone. A `\` before anything else is itself.
fn split(text: &str) -> impl Iterator<Item = String> + use<> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.next_if(|it| character == ESCAPE && (*it == BETWEEN || *it == ESCAPE));
        match (next, parts.last_mut()) {
            (Some(escaped), Some(part)) => part.push(escaped),
            (None, Some(part)) if character != BETWEEN => part.push(character),
            _ => parts.push(String::new()),
        }
    }
    parts.into_iter()
}

/// The numbers of a text, where it is nothing else. Digits that begin with a zero, or that a float does not keep,
/// are a name.
fn numbers(text: &str) -> Option<Vec<f64>> {
    let is_name = |it: &str, value: f64| {
        let digits = it.trim_start_matches(['-', '+']);
        let is_integer = digits.bytes().all(|it| it.is_ascii_digit());
        let is_kept = digits.len() <= 15 || value.to_string() == it;
        is_integer && (!is_kept || (digits.len() > 1 && digits.starts_with('0')))
    };
    let number = |it: &str| it.parse::<f64>().ok().filter(|value| value.is_finite() && !is_name(it, *value));
    split(text).map(|it| number(it.trim())).collect()
}
