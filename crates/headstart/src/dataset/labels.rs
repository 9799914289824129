//! What the rows of a manifest say of their labels, and what all rows together make of it.

use std::collections::{BTreeMap, BTreeSet};

use headstart_backbone::Input;
use headstart_store::{Cell, Label};

use super::manifest::trimmed;
use super::{DatasetConfig, normalised};
use crate::event::Note;

/// Words that stand in columns of numbers where there is none.
const NO_NUMBER: [&str; 9] = ["nan", "na", "n/a", "#n/a", "none", "null", "nil", "-", "?"];

/// What a row says of its label.
pub(super) enum Said {
    /// Nothing.
    Nothing,
    /// A text, whose kind the whole column decides.
    Text(String),
    /// A text in each of several columns; nothing in some.
    Texts(Vec<Option<String>>),
    /// A list, which says it itself.
    Typed(Label),
}

impl Said {
    /// What the cells of a row's label say, or why that cannot be.
    pub(super) fn of(cells: &mut [Option<Cell>], config: &DatasetConfig) -> Result<Self, String> {
        let text = |it: Option<Cell>| trimmed(it).filter(|it| !config.missing.contains(it));
        let is_list = |it: &Option<Cell>| matches!(it, Some(Cell::Texts(_) | Cell::Numbers(_)));
        // Of a store's own three columns one has the label; of one column, that.
        let list = if cells.len() == 1 || config.label_columns.is_empty() {
            cells.iter_mut().find(|it| is_list(it)).and_then(Option::take)
        } else {
            None
        };
        match (list, cells) {
            (Some(Cell::Texts(names)), _) => {
                let names = names.into_iter().filter(|it| !config.missing.contains(it)).collect();
                Ok(Self::Typed(Label::Classes(names)))
            }
            (Some(Cell::Numbers(numbers)), _) if numbers.iter().all(|it| it.is_finite()) => {
                Ok(Self::Typed(Label::Numbers(numbers)))
            }
            (Some(Cell::Numbers(_)), _) => Err("has a target that is no finite number".to_owned()),
            (_, []) => Ok(Self::Nothing),
            (_, [cell]) => Ok(text(cell.take()).map_or(Self::Nothing, Self::Text)),
            (_, cells) if config.label_columns.is_empty() => {
                Ok(cells.iter_mut().find_map(|it| text(it.take())).map_or(Self::Nothing, Self::Text))
            }
            (_, cells) => Ok(Self::Texts(cells.iter_mut().map(|it| text(it.take())).collect())),
        }
    }
}

/// Gives inputs their labels: what a text stands for depends on all of them. `names` are those of the columns.
pub(super) fn settle(
    inputs: &mut [Input],
    mut said: Vec<Said>,
    names: &[String],
    has_bars: bool,
    notes: &mut Vec<Note>,
) {
    leave_out_missing(&mut said, notes);
    let are_flags = flags(&mut said, names);
    if are_flags {
        notes.push(Note::ColumnsAreLabels { columns: names.to_vec() });
    }
    let joined = |texts: Vec<Option<String>>| -> Option<String> {
        let texts: Vec<String> = texts.into_iter().collect::<Option<_>>()?;
        // As one text: whether these are numbers, all rows together say.
        Some(if has_bars { texts.join("|") } else { Label::Classes(texts).to_string() })
    };
    let several = said.iter().any(|it| matches!(it, Said::Texts(_)));
    let texts: Vec<Option<String>> = said
        .iter_mut()
        .map(|it| match it {
            Said::Text(text) => Some(std::mem::take(text)),
            Said::Texts(texts) => joined(std::mem::take(texts)),
            Said::Nothing | Said::Typed(_) => None,
        })
        .collect();
    // Elsewhere than in a table of texts a bar is a character as any other.
    let read: Vec<Label> = match has_bars || several {
        true => Label::from_texts(texts.iter().flatten().map(String::as_str)).collect(),
        false => texts.iter().flatten().map(|it| Label::Class(it.clone())).collect(),
    };
    let mut read = read.into_iter();
    for ((input, said), text) in inputs.iter_mut().zip(said).zip(&texts) {
        input.label = match said {
            Said::Typed(label) => Some(label),
            _ => text.as_ref().and_then(|_| read.next()),
        };
    }
    let mut labels: Vec<&mut Label> = inputs.iter_mut().filter_map(|it| it.label.as_mut()).collect();
    // Lists that all hold one name; in a table of texts the bar in `cat|` says that there could be more.
    if (are_flags || !has_bars)
        && labels.iter().all(|it| matches!(it, Label::Classes(names) if names.len() == 1))
    {
        for label in &mut labels {
            if let Label::Classes(names) = &mut **label {
                **label = Label::Class(names.swap_remove(0));
            }
        }
    }
    let two_forms = normalise(&mut labels);
    if !two_forms.is_empty() {
        notes.push(Note::SpellingsMerged { classes: two_forms });
    }
    Label::make_alike(labels);
}

/// Leaves out the words that say, in a column of numbers, that there is none. Where others are no numbers they are
/// words like these.
fn leave_out_missing(said: &mut [Said], notes: &mut Vec<Note>) {
    let is_missing = |text: &str| NO_NUMBER.contains(&text.to_lowercase().as_str());
    let is_number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    let all = || {
        said.iter().flat_map(|it| match it {
            Said::Text(text) => vec![text.as_str()],
            Said::Texts(texts) => texts.iter().flatten().map(String::as_str).collect(),
            Said::Nothing | Said::Typed(_) => Vec::new(),
        })
    };
    let mut known = all().filter(|it| !is_missing(it)).peekable();
    if known.peek().is_none() || !known.all(|text| text.split('|').all(|it| is_number(it.trim()))) {
        return;
    }
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    all().filter(|it| is_missing(it)).for_each(|it| *words.entry(it.to_owned()).or_default() += 1);
    if words.is_empty() {
        return;
    }
    for it in said.iter_mut() {
        match it {
            Said::Text(text) if is_missing(text) => *it = Said::Nothing,
            Said::Texts(texts) => {
                texts.iter_mut().for_each(|it| *it = it.take().filter(|it| !is_missing(it)))
            }
            _ => {}
        }
    }
    notes.push(Note::MissingNumbers { words });
}

/// Makes several columns of yes and no labels of the columns' names, where all of them are such; a row that lacks one
/// has no label. Says whether it did.
fn flags(said: &mut [Said], names: &[String]) -> bool {
    let flag = |text: &str| match text.to_lowercase().as_str() {
        "1" | "1.0" | "true" | "yes" => Some(true),
        "0" | "0.0" | "false" | "no" => Some(false),
        _ => None,
    };
    let rows = || said.iter().filter(|it| !matches!(it, Said::Nothing));
    let is_flag = |it: &Option<String>| it.as_deref().is_none_or(|it| flag(it).is_some());
    let are_flags = |it: &Said| matches!(it, Said::Texts(texts) if texts.iter().all(is_flag));
    let has_one = |it: &Said| matches!(it, Said::Texts(texts) if texts.iter().any(Option::is_some));
    if !rows().all(are_flags) || !rows().any(has_one) {
        return false;
    }
    for it in said.iter_mut() {
        let Said::Texts(texts) = it else { continue };
        let flags: Option<Vec<bool>> = texts.iter().map(|it| flag(it.as_deref()?)).collect();
        let given =
            |flags: Vec<bool>| names.iter().zip(flags).filter(|it| it.1).map(|it| it.0.clone()).collect();
        *it = flags.map_or(Said::Nothing, |it| Said::Typed(Label::Classes(given(it))));
    }
    true
}

/// Writes every name in one form, and says which came in two.
fn normalise(labels: &mut [&mut Label]) -> Vec<String> {
    let mut changed = BTreeSet::new();
    let mut kept = BTreeSet::new();
    let mut one_form = |name: &mut String| {
        // Most are of letters that have one form alone.
        if name.is_ascii() {
            return;
        }
        let normal = normalised(name);
        if normal == *name {
            kept.insert(normal);
        } else {
            changed.insert(normal.clone());
            *name = normal;
        }
    };
    for label in labels {
        match &mut **label {
            Label::Class(class) => one_form(class),
            Label::Classes(classes) => classes.iter_mut().for_each(&mut one_form),
            _ => {}
        }
    }
    changed.intersection(&kept).cloned().collect()
}
