//! Threads that the system may refuse.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::BackboneError;

/// Starts one of `n` threads of a scope; one that the system refuses is an error and no panic.
pub(crate) fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    n: usize,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, BackboneError> {
    Builder::new().spawn_scoped(scope, work).map_err(|source| BackboneError::Threads { n, source })
}
