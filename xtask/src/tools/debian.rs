//! A program of one of Debian's packages, for whoever has apt: it is taken out of the package. Nothing is installed, the
//! system's own lists stay as they are, and no root is needed.

use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// The branch in which there is always the newest: what is released is years old.
const BRANCH: &str = "sid";
/// Who signs it.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Puts the program that is called like its package into `target`.
pub(super) fn install_program(shell: &Shell, package: &str, target: &Path) -> Result<()> {
    let mirror = mirror(shell).context("only Debian packs it: elsewhere, install it yourself")?;
    let home = shell.create_temp_dir()?;
    let home = home.path();
    for folder in ["lists/partial", "cache/archives/partial", "parts"] {
        shell.create_dir(home.join(folder))?;
    }
    let configuration = home.join("configuration");
    shell.write_file(home.join("sources"), format!("deb [signed-by={KEYS}] {mirror} {BRANCH} main\n"))?;
    shell.write_file(&configuration, own_folders(home))?;
    let _folder = shell.push_dir(home);
    let _configuration = shell.push_env("APT_CONFIG", &configuration);
    cmd!(shell, "apt-get -qq update").quiet().ignore_stderr().run()?;
    cmd!(shell, "apt-get -qq download {package}").quiet().ignore_stderr().run()?;
    let downloaded = shell.read_dir(home)?.into_iter().find(|file| file.extension().is_some_and(|it| it == "deb"));
    let downloaded = downloaded.context("nothing was downloaded")?;
    cmd!(shell, "dpkg-deb --extract {downloaded} unpacked").quiet().run()?;
    shell.copy_file(home.join("unpacked/usr/bin").join(package), target.join(package))?;
    Ok(())
}

/// Where this machine has its packages from.
fn mirror(shell: &Shell) -> Result<String> {
    let (format, which) = ("$(REPO_URI)", "Created-By: Packages");
    let mirrors = cmd!(shell, "apt-get indextargets --format {format} {which}").quiet().ignore_stderr().read()?;
    let main = mirrors.lines().find(|mirror| !mirror.contains("security"));
    Ok(main.context("apt has no sources")?.to_owned())
}

/// apt's configuration for working in `home` alone. A mirror that lags behind is good enough: what it has is signed.
fn own_folders(home: &Path) -> String {
    let home = home.display();
    format!(
        "Dir::State \"{home}\";\nDir::Cache \"{home}/cache\";\nDir::Etc::SourceList \"{home}/sources\";\n\
         Dir::Etc::SourceParts \"{home}/parts\";\nDir::Etc::Parts \"{home}/parts\";\nAcquire::Languages \"none\";\n\
         Acquire::Check-Valid-Until \"false\";\n"
    )
}
