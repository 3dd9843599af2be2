//! What the programs need around them: nothing if they are static; else the loader and the libraries that they were linked
//! with, from this machine. And the authorities to trust, and a user.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::oci::USER;
use super::tar::Tree;

/// Where distributions keep the bundle of certificate authorities.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where the programs look for it, whatever this machine's distribution.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// The lowest layer.
///
/// # Errors
/// If this machine has no certificates, or a library is missing.
pub(super) fn tree(shell: &Shell, program: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    let bundle = BUNDLES.into_iter().find(|path| Path::new(path).is_file());
    let bundle = bundle.context("this machine has no bundle of certificate authorities: install ca-certificates")?;
    tree.file(BUNDLE, fs::read(bundle).with_context(|| bundle.to_owned())?);
    tree.file(
        "etc/passwd",
        format!("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n"),
    );
    tree.file("etc/group", format!("root:x:0:\nnonroot:x:{USER}:\n"));
    // Without it the C library asks only DNS, and localhost is not found.
    tree.file("etc/nsswitch.conf", "hosts: files dns\n");
    for library in libraries(shell, program)? {
        let content = fs::read(&library).with_context(|| library.clone())?;
        tree.program(&library, content);
    }
    Ok(tree)
}

/// The shared libraries and the loader of the program, as absolute paths; none for a static one.
fn libraries(shell: &Shell, program: &Path) -> Result<Vec<String>> {
    let output = cmd!(shell, "ldd {program}").quiet().ignore_status().output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse(&text).with_context(|| format!("ldd {}", program.display()))
}

/// What `ldd` prints: `name => path (address)`, or the loader's path alone.
fn parse(text: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some((name, "not found")) = line.split_once(" => ") {
            anyhow::bail!("the library {name} is not on this machine");
        }
        let place = line.split_once(" => ").map_or(line, |(_, place)| place);
        // linux-vdso comes from the kernel and has no path; a static program is told of in words.
        if let Some((path, _)) = place.split_once(" (").filter(|(path, _)| path.starts_with('/')) {
            paths.push(path.to_owned());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_told_from_the_rest() {
        let text = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x0007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(parse(text).unwrap(), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(parse("\tstatically linked\n").unwrap().is_empty());
        assert!(parse("\tliba.so => not found\n").is_err());
    }
}
