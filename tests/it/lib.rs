//! Nothing: this package exists for its tests, which need the crates and the shared data.
