//! The builds of ONNX Runtime that `setup` provides, pinned.

use std::env::consts::{ARCH, OS};
use std::fmt;

use headstart_backbone::Device;

/// The kinds of runtime there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ONNX Runtime's own CPU kernels.
    Cpu,
    /// With OpenVINO and its libraries.
    Openvino,
    /// With CUDA, cuDNN and their libraries (1.7 GB to fetch).
    Cuda,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Openvino, Self::Cuda];

    /// The kind that a device needs.
    #[must_use]
    pub fn of(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::OpenVino => Self::Openvino,
            Device::Cuda(_) => Self::Cuda,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Openvino => "openvino",
            Self::Cuda => "cuda",
        })
    }
}

/// A runtime for one kind of device on one platform.
pub(crate) struct Build {
    pub(crate) kind: Kind,
    os: &'static str,
    arch: &'static str,
    /// Its folder in the cache.
    pub(crate) folder: &'static str,
    /// ONNX Runtime's own library.
    pub(crate) library: &'static str,
    pub(crate) source: Source,
}

/// Where a build comes from.
pub(crate) enum Source {
    /// Python wheels, through pip; their shared libraries all go into one folder.
    Wheels(&'static [Wheel]),
    /// A release archive of microsoft/onnxruntime: name, version, SHA-256 and the library's path in it.
    Archive { name: &'static str, version: &'static str, sha256: &'static str, member: &'static str },
}

/// A wheel, as pip names it.
pub(crate) struct Wheel {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    pub(crate) platform: &'static str,
    pub(crate) sha256: &'static str,
}

/// Version of the CPU wheel.
const WHEEL_VERSION: &str = "1.31.1";

const ARCHIVE_VERSION: &str = "1.24.4";

const fn wheel(
    package: &'static str,
    version: &'static str,
    platform: &'static str,
    sha256: &'static str,
) -> Wheel {
    Wheel { package, version, platform, sha256 }
}

const fn archive(name: &'static str, sha256: &'static str, member: &'static str) -> Source {
    Source::Archive { name, version: ARCHIVE_VERSION, sha256, member }
}

const fn cpu(
    os: &'static str,
    arch: &'static str,
    folder: &'static str,
    library: &'static str,
    source: Source,
) -> Build {
    Build { kind: Kind::Cpu, os, arch, folder, library, source }
}

/// All builds; of those for one machine, the first that can be had is taken.
///
/// The wheels are those for CPython 3.12: their libraries do not depend on Python.
const BUILDS: [Build; 10] = [
    cpu(
        "linux",
        "x86_64",
        WHEEL_VERSION,
        "libonnxruntime.so.1.31.1",
        Source::Wheels(&[wheel(
            "onnxruntime",
            WHEEL_VERSION,
            "manylinux_2_28_x86_64",
            "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        )]),
    ),
    cpu(
        "linux",
        "x86_64",
        ARCHIVE_VERSION,
        "libonnxruntime.so.1.24.4",
        archive(
            "onnxruntime-linux-x64-1.24.4.tgz",
            "3a211fbea252c1e66290658f1b735b772056149f28321e71c308942cdb54b747",
            "onnxruntime-linux-x64-1.24.4/lib/libonnxruntime.so.1.24.4",
        ),
    ),
    cpu(
        "linux",
        "aarch64",
        WHEEL_VERSION,
        "libonnxruntime.so.1.31.1",
        Source::Wheels(&[wheel(
            "onnxruntime",
            WHEEL_VERSION,
            "manylinux_2_28_aarch64",
            "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        )]),
    ),
    cpu(
        "linux",
        "aarch64",
        ARCHIVE_VERSION,
        "libonnxruntime.so.1.24.4",
        archive(
            "onnxruntime-linux-aarch64-1.24.4.tgz",
            "866109a9248d057671a039b9d725be4bd86888e3754140e6701ec621be9d4d7e",
            "onnxruntime-linux-aarch64-1.24.4/lib/libonnxruntime.so.1.24.4",
        ),
    ),
    cpu(
        "macos",
        "aarch64",
        WHEEL_VERSION,
        "libonnxruntime.1.31.1.dylib",
        Source::Wheels(&[wheel(
            "onnxruntime",
            WHEEL_VERSION,
            "macosx_14_0_arm64",
            "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
        )]),
    ),
    cpu(
        "macos",
        "aarch64",
        ARCHIVE_VERSION,
        "libonnxruntime.1.24.4.dylib",
        archive(
            "onnxruntime-osx-arm64-1.24.4.tgz",
            "93787795f47e1eee369182e43ed51b9e5da0878ab0346aecf4258979b8bba989",
            "onnxruntime-osx-arm64-1.24.4/lib/libonnxruntime.1.24.4.dylib",
        ),
    ),
    cpu(
        "windows",
        "x86_64",
        WHEEL_VERSION,
        "onnxruntime.dll",
        Source::Wheels(&[wheel(
            "onnxruntime",
            WHEEL_VERSION,
            "win_amd64",
            "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130",
        )]),
    ),
    cpu(
        "windows",
        "x86_64",
        ARCHIVE_VERSION,
        "onnxruntime.dll",
        archive(
            "onnxruntime-win-x64-1.24.4.zip",
            "d2319fddfb6ea4db99ccc4b60c85c517bcd855721f5daa6a06d40d7cb2ee2357",
            "onnxruntime-win-x64-1.24.4/lib/onnxruntime.dll",
        ),
    ),
    Build {
        kind: Kind::Openvino,
        os: "linux",
        arch: "x86_64",
        folder: "openvino-1.24.1",
        library: "libonnxruntime.so.1.24.1",
        source: Source::Wheels(&[wheel(
            "onnxruntime-openvino",
            "1.24.1",
            "manylinux_2_28_x86_64",
            "d617fac2f59a6ab5ea59a788c3e1592240a129642519aaeaa774761dfe35150e",
        )]),
    },
    // CUDA 12: its libraries run under every driver from 525 on, those of CUDA 13 only from 580 on.
    Build {
        kind: Kind::Cuda,
        os: "linux",
        arch: "x86_64",
        folder: "cuda-1.25.1",
        library: "libonnxruntime.so.1.25.1",
        source: Source::Wheels(&[
            wheel(
                "onnxruntime-gpu",
                "1.25.1",
                "manylinux_2_28_x86_64",
                "264b65ed81c1a32c2e410423ef3e4ba3ebb603c099d5a374c8780fbeb3496239",
            ),
            wheel(
                "nvidia-cublas-cu12",
                "12.9.3.13",
                "manylinux_2_27_x86_64",
                "d7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72",
            ),
            wheel(
                "nvidia-cudnn-cu12",
                "9.28.0.42",
                "manylinux_2_27_x86_64",
                "9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375",
            ),
            wheel(
                "nvidia-cufft-cu12",
                "11.4.1.4",
                "manylinux2014_x86_64",
                "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28",
            ),
            wheel(
                "nvidia-curand-cu12",
                "10.3.10.19",
                "manylinux_2_27_x86_64",
                "49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e",
            ),
            wheel(
                "nvidia-cuda-runtime-cu12",
                "12.9.79",
                "manylinux2014_x86_64",
                "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3",
            ),
            wheel(
                "nvidia-cuda-nvrtc-cu12",
                "12.9.86",
                "manylinux2010_x86_64",
                "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
            ),
            wheel(
                "nvidia-nvjitlink-cu12",
                "12.9.86",
                "manylinux2010_x86_64",
                "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9",
            ),
        ]),
    },
];

/// The builds of one kind for this machine, the best first.
pub(crate) fn builds(kind: Kind) -> impl Iterator<Item = &'static Build> {
    BUILDS.iter().filter(move |it| it.kind == kind && it.os == OS && it.arch == ARCH)
}
