//! ONNX Runtime: where it is found, and how it gets there.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use headstart_backbone::{BackboneError, Runtime};

use crate::{folders, network, report};

/// Version that `setup` takes from the Python wheel.
pub(crate) const WHEEL_VERSION: &str = "1.31.1";

/// Version that `setup` takes from the release archive, where there is no pip.
const ARCHIVE_VERSION: &str = "1.24.4";

/// A platform's builds: the wheel for CPython 3.12 and the release archive, each with its SHA-256.
struct Build {
    os: &'static str,
    arch: &'static str,
    wheel_platform: &'static str,
    wheel_sha256: &'static str,
    wheel_library: &'static str,
    archive: &'static str,
    archive_sha256: &'static str,
    archive_library: &'static str,
}

const BUILDS: [Build; 4] = [
    Build {
        os: "linux",
        arch: "x86_64",
        wheel_platform: "manylinux_2_28_x86_64",
        wheel_sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        wheel_library: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        archive: "onnxruntime-linux-x64-1.24.4.tgz",
        archive_sha256: "3a211fbea252c1e66290658f1b735b772056149f28321e71c308942cdb54b747",
        archive_library: "onnxruntime-linux-x64-1.24.4/lib/libonnxruntime.so.1.24.4",
    },
    Build {
        os: "linux",
        arch: "aarch64",
        wheel_platform: "manylinux_2_28_aarch64",
        wheel_sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        wheel_library: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        archive: "onnxruntime-linux-aarch64-1.24.4.tgz",
        archive_sha256: "866109a9248d057671a039b9d725be4bd86888e3754140e6701ec621be9d4d7e",
        archive_library: "onnxruntime-linux-aarch64-1.24.4/lib/libonnxruntime.so.1.24.4",
    },
    Build {
        os: "macos",
        arch: "aarch64",
        wheel_platform: "macosx_14_0_arm64",
        wheel_sha256: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
        wheel_library: "onnxruntime/capi/libonnxruntime.1.31.1.dylib",
        archive: "onnxruntime-osx-arm64-1.24.4.tgz",
        archive_sha256: "93787795f47e1eee369182e43ed51b9e5da0878ab0346aecf4258979b8bba989",
        archive_library: "onnxruntime-osx-arm64-1.24.4/lib/libonnxruntime.1.24.4.dylib",
    },
    Build {
        os: "windows",
        arch: "x86_64",
        wheel_platform: "win_amd64",
        wheel_sha256: "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130",
        wheel_library: "onnxruntime/capi/onnxruntime.dll",
        archive: "onnxruntime-win-x64-1.24.4.zip",
        archive_sha256: "d2319fddfb6ea4db99ccc4b60c85c517bcd855721f5daa6a06d40d7cb2ee2357",
        archive_library: "onnxruntime-win-x64-1.24.4/lib/onnxruntime.dll",
    },
];

/// Loads ONNX Runtime from where [`find`] finds it.
pub(crate) fn load_runtime() -> Result<Runtime> {
    let path = find()?.ok_or_else(|| {
        anyhow!(
            "no ONNX Runtime found; this program needs version {} or newer\n\nrun `headstart setup` to get it, or set ORT_DYLIB_PATH to a library",
            headstart_backbone::MINIMUM_VERSION
        )
    })?;
    Runtime::load(&path).map_err(|err| match err {
        BackboneError::RuntimeMissing { .. }
        | BackboneError::RuntimeTooOld { .. }
        | BackboneError::RuntimeLoad { .. } => {
            let hint = if is_named() {
                "ORT_DYLIB_PATH names it: set it to a library that works, or unset it and run `headstart setup`"
            } else {
                "run `headstart setup` to get one that works, or set ORT_DYLIB_PATH to a library"
            };
            anyhow!("{:#}\n\n{hint}", anyhow::Error::new(err))
        }
        err => err.into(),
    })
}

/// Whether the user has named a library.
pub(crate) fn is_named() -> bool {
    env::var_os("ORT_DYLIB_PATH").is_some_and(|it| !it.is_empty())
}

/// The ONNX Runtime library: `ORT_DYLIB_PATH`, else the one that `headstart setup` put into the cache.
///
/// # Errors
/// When there is no home folder to have a cache in, and `HEADSTART_CACHE` is not set.
pub fn find() -> Result<Option<PathBuf>> {
    if let Some(path) = env::var_os("ORT_DYLIB_PATH").filter(|it| !it.is_empty()) {
        return Ok(Some(PathBuf::from(path)));
    }
    let folder = folders::cache()?.join("runtime");
    Ok([WHEEL_VERSION, ARCHIVE_VERSION].into_iter().filter_map(|it| provisioned(&folder, it)).next())
}

/// The library of one version in the cache.
fn provisioned(folder: &Path, version: &str) -> Option<PathBuf> {
    let build = build().ok()?;
    let library = if version == WHEEL_VERSION { build.wheel_library } else { build.archive_library };
    let path = folder.join(version).join(file_name(library));
    path.is_file().then_some(path)
}

/// Puts ONNX Runtime into the cache, once: from the Python wheel where there is pip, else from the
/// release archive. Two processes at once are safe: one waits for the other.
pub(crate) fn setup() -> Result<PathBuf> {
    let folder = folders::cache()?.join("runtime");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock_path = folder.join("setup.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.with_context(|| format!("cannot write {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
    let found = [WHEEL_VERSION, ARCHIVE_VERSION].into_iter().find_map(|it| provisioned(&folder, it));
    if let Some(path) = found {
        return Ok(path);
    }
    let build = build()?;
    match from_wheel(build, &folder) {
        Ok(path) => Ok(path),
        Err(wheel) => {
            report::say(format!("no wheel through pip ({wheel:#}); trying the release archive"));
            from_archive(build, &folder).map_err(|archive| {
                anyhow!(
                    "cannot get ONNX Runtime: neither pip ({wheel:#}) nor the release archive ({archive:#}) works here\n\ninstall Python's pip or connect to the internet, or set ORT_DYLIB_PATH to a library of version {} or newer",
                    headstart_backbone::MINIMUM_VERSION
                )
            })
        }
    }
}

fn build() -> Result<&'static Build> {
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let build = BUILDS.iter().find(|it| it.os == os && it.arch == arch);
    build.with_context(|| {
        let minimum = headstart_backbone::MINIMUM_VERSION;
        format!("no pinned ONNX Runtime for {os} on {arch}; set ORT_DYLIB_PATH to a library of version {minimum} or newer")
    })
}

fn from_wheel(build: &Build, folder: &Path) -> Result<PathBuf> {
    // The temporary folder lies beside its destination, so that a rename moves what it holds.
    let temporary = tempfile::Builder::new().prefix(".setup-").tempdir_in(folder)?;
    report::say(format!("getting ONNX Runtime {WHEEL_VERSION} through pip"));
    let output = Command::new(if cfg!(windows) { "python" } else { "python3" })
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"])
        .args(["--platform", build.wheel_platform, "--dest"])
        .arg(temporary.path())
        .arg(format!("onnxruntime=={WHEEL_VERSION}"))
        .output()
        .context("cannot run python3")?;
    ensure!(
        output.status.success(),
        "pip: {}",
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("failed without a word")
    );
    let mut files = fs::read_dir(temporary.path())?.filter_map(Result::ok).map(|it| it.path());
    let wheel = files.find(|it| it.extension().is_some_and(|it| it == "whl"));
    let wheel = wheel.context("pip downloaded no wheel")?;
    check_hash(&wheel, build.wheel_sha256)?;
    let mut library = Vec::new();
    let mut archive = zip::ZipArchive::new(File::open(&wheel)?)?;
    archive.by_name(build.wheel_library)?.read_to_end(&mut library)?;
    install(&library, temporary.path(), folder, WHEEL_VERSION, build.wheel_library)
}

fn from_archive(build: &Build, folder: &Path) -> Result<PathBuf> {
    let temporary = tempfile::Builder::new().prefix(".setup-").tempdir_in(folder)?;
    let url = format!(
        "https://github.com/microsoft/onnxruntime/releases/download/v{ARCHIVE_VERSION}/{}",
        build.archive
    );
    let path = temporary.path().join(build.archive);
    network::download(&url, &path, build.archive_sha256, None)?;
    let mut library = Vec::new();
    if build.archive.ends_with(".zip") {
        zip::ZipArchive::new(File::open(&path)?)?
            .by_name(build.archive_library)?
            .read_to_end(&mut library)?;
    } else {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            if name == build.archive_library {
                entry.read_to_end(&mut library)?;
            }
        }
        ensure!(!library.is_empty(), "{} has no {}", build.archive, build.archive_library);
    }
    install(&library, temporary.path(), folder, ARCHIVE_VERSION, build.archive_library)
}

/// Writes the library into a folder of its own and renames that into place: whole or not at all.
fn install(library: &[u8], temporary: &Path, folder: &Path, version: &str, name: &str) -> Result<PathBuf> {
    let staged = temporary.join("staged");
    fs::create_dir(&staged)?;
    let file = staged.join(file_name(name));
    fs::write(&file, library)?;
    File::open(&file)?.sync_all()?;
    let destination = folder.join(version);
    // Left by a run that was killed between two steps of an older version of this program.
    if destination.exists() {
        fs::remove_dir_all(&destination)?;
    }
    fs::rename(&staged, &destination).with_context(|| format!("cannot write {}", destination.display()))?;
    Ok(destination.join(file_name(name)))
}

fn check_hash(path: &Path, expected: &str) -> Result<()> {
    let found = network::hash_of(path)?;
    if found != expected {
        bail!("{} has SHA-256 {found}, expected {expected}", path.display());
    }
    Ok(())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
