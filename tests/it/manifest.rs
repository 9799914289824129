//! What the repository says of itself.

use std::process::Command;

use crate::support::root;

/// The stated `rust-version` must be at least what every dependency states.
#[test]
fn the_stated_rust_version_covers_every_dependency() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let version = |text: &str| text.split('.').map(|it| it.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let ours = packages.iter().find(|it| it["name"] == "headstart").expect("our package");
    let ours = version(ours["rust_version"].as_str().expect("stated"));
    let mut n_cases = 0;
    for package in packages {
        if let Some(theirs) = package["rust_version"].as_str() {
            assert!(version(theirs)[..2] <= ours[..2], "{} needs Rust {theirs}", package["name"]);
            n_cases += 1;
        }
    }
    assert!(n_cases > 100, "only {n_cases} packages state a version");
}
