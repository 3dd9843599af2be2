//! Which Kubernetes this server is: what `GET /version` answers.

use std::env::consts::{ARCH, OS};

use serde_json::{Value, json};

/// The first number of the version of Kubernetes that is served.
pub const MAJOR: &str = "1";
/// The second number of the version of Kubernetes that is served.
pub const MINOR: &str = "36";
/// The version of Kubernetes whose behaviour is served, as clients parse it.
pub const GIT_VERSION: &str = "v1.36.2";
/// The oldest second number with which the server is compatible: the one before.
const MIN_COMPATIBLE_MINOR: &str = "35";

/// The version document. What only Go programs have is empty.
pub fn info() -> Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": MIN_COMPATIBLE_MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": platform(OS, ARCH),
    })
}

/// The platform as Go names it, such as `linux/amd64`.
fn platform(os: &str, arch: &str) -> String {
    let os = if os == "macos" { "darwin" } else { os };
    let arch = match arch {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}/{arch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_a_text() {
        let info = info();
        let fields = info.as_object().unwrap();
        assert_eq!(fields.len(), 13);
        assert!(fields.values().all(Value::is_string));
        let numbers: Vec<u32> = GIT_VERSION[1..].split('.').map(|it| it.parse().unwrap()).collect();
        assert_eq!(GIT_VERSION.split_at(1).0, "v");
        assert_eq!([numbers[0].to_string(), numbers[1].to_string()], [MAJOR, MINOR]);
    }

    #[test]
    fn platforms_are_named_as_go_names_them() {
        assert_eq!(platform("linux", "x86_64"), "linux/amd64");
        assert_eq!(platform("macos", "aarch64"), "darwin/arm64");
        assert_eq!(platform("linux", "riscv64"), "linux/riscv64");
    }
}
