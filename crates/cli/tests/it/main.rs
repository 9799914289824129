//! The built program, end to end.

mod datasets;
mod export;
mod failures;
mod heads;
mod program;
mod runtime;
