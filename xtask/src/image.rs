//! `cargo xtask image`: one image for all programs, written as an OCI archive. No container engine is needed, and none is
//! used; `Dockerfile` makes the same with one. The programs are one file under three names: they share nearly everything.
//!
//! Static programs if Rust's standard library for musl is installed; else those of this machine's C library, with the
//! loader and the libraries that they need and nothing else.

mod base;
mod oci;
mod sbom;
mod tar;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Metadata, MetadataCommand, PackageId};
use clap::Args;
use xshell::{Shell, cmd};

use self::oci::{Archive, Image};
use self::tar::Tree;
use crate::workspace;

/// What is in the image: a program and its other names.
const PROGRAM: &str = "steersman";
const LINKS: [&str; 2] = ["steersman-controllers", "steersman-scheduler"];

/// Without it the program has no other names.
const FEATURES: &str = "programs";

/// Where they are in there.
const FOLDER: &str = "usr/local/bin";

/// Where the bill of materials is in there.
const BILL: &str = "usr/share/sbom/steersman.cdx.json";

/// The most that an image of the profile `image` may weigh, compressed: 25 MB.
const LIMIT: usize = 25_000_000;

/// What to build and where to put it.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to write the archive.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    out: PathBuf,
    /// The name of the image. The host `localhost` keeps runtimes from looking for it in a registry.
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
    /// Its tag; the version of the workspace if none is given.
    #[arg(long)]
    tag: Option<String>,
    /// Cargo's profile. The limit of 25 MB counts for `image` alone.
    #[arg(long, default_value = "image")]
    profile: String,
    /// Cargo's target; `ARCH-unknown-linux-musl` if it is installed, else this machine's.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Take `steersman`, built with the feature `programs`, from this folder, build nothing.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["profile", "target"])]
    programs: Option<PathBuf>,
    /// From 0 (fast) to 9 (small).
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(0..=9))]
    compression: u32,
    /// Only tell what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// Where the archive goes if nothing else is said.
pub(crate) const DEFAULT_FILE: &str = "target/image/steersman.tar";
/// How the image is called if nothing else is said.
pub(crate) const DEFAULT_NAME: &str = "localhost/steersman";

/// Builds, packs, writes, and says how large it is.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let shell = workspace::shell()?;
    let target = match &arguments.target {
        Some(target) => target.clone(),
        None => default_target(&shell)?,
    };
    let metadata = metadata(&target)?;
    let packages = packages(&metadata)?;
    let version = workspace_version(&metadata)?;
    let reference = format!("{}:{}", arguments.name, arguments.tag.as_deref().unwrap_or(&version));
    let build = build_command(arguments, &target);
    if arguments.dry_run {
        println!("{}", describe(&build, arguments, &reference));
        return Ok(());
    }
    let folder = match &arguments.programs {
        Some(folder) => folder.clone(),
        None => {
            let [cargo, rest @ ..] = build.as_slice() else { bail!("there is nothing to build") };
            cmd!(shell, "{cargo} {rest...}").run()?;
            program_folder(&metadata, &target, &arguments.profile)
        }
    };
    let program = folder.join(PROGRAM);
    let ids = packages.values().cloned().collect();
    let bill = serde_json::to_vec_pretty(&sbom::bill(&metadata, &ids, &version)?)?;
    let image = Image {
        architecture: architecture(&target)?.to_owned(),
        entrypoint: format!("/{FOLDER}/{PROGRAM}"),
        labels: labels(&shell, &version)?,
        layers: vec![
            ("certificates, a user, and what the programs are linked with", base::tree(&shell, &program)?),
            ("the programs and their bill of materials", program_tree(&program, &bill)?),
        ],
        compression: arguments.compression,
        reference,
    };
    let archive = oci::archive(&image)?;
    write(&arguments.out, &archive, &bill)?;
    report(&image, &archive, &arguments.out);
    if arguments.programs.is_none() && arguments.profile == "image" {
        ensure!(archive.compressed <= LIMIT, "the image has {} bytes; {LIMIT} is the limit", archive.compressed);
    }
    Ok(())
}

fn metadata(target: &str) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.current_dir(workspace::root()).other_options(["--filter-platform".to_owned(), target.to_owned()]);
    command.exec().context("cargo metadata")
}

/// The package of each program.
fn packages(metadata: &Metadata) -> Result<BTreeMap<&'static str, PackageId>> {
    let find = |program: &'static str| {
        let has = |package: &&cargo_metadata::Package| {
            package.targets.iter().any(|target| target.is_bin() && target.name == program)
        };
        let package = metadata.workspace_packages().into_iter().find(has);
        let package = package.with_context(|| format!("no package of the workspace has the program {program}"))?;
        Ok((program, package.id.clone()))
    };
    [PROGRAM].into_iter().chain(LINKS).map(find).collect()
}

fn workspace_version(metadata: &Metadata) -> Result<String> {
    let package = metadata.workspace_packages().into_iter().find(|package| package.name == "steersman");
    Ok(package.context("there is no package steersman")?.version.to_string())
}

/// The target for musl if its standard library is here; else the machine's own.
fn default_target(shell: &Shell) -> Result<String> {
    let version = cmd!(shell, "rustc --version --verbose").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc tells no host")?;
    let musl = host.replace("-gnu", "-musl");
    let library = cmd!(shell, "rustc --print target-libdir --target {musl}").quiet().ignore_stderr().read();
    let has_musl = library.is_ok_and(|library| Path::new(&library).is_dir());
    Ok(if has_musl { musl } else { host.to_owned() })
}

fn build_command(arguments: &Arguments, target: &str) -> Vec<String> {
    let build = ["cargo", "build", "--locked", "--profile", &arguments.profile, "--target", target];
    let what = ["--package", PROGRAM, "--bin", PROGRAM, "--features", FEATURES];
    build.into_iter().chain(what).map(str::to_owned).collect()
}

fn program_folder(metadata: &Metadata, target: &str, profile: &str) -> PathBuf {
    let folder = if profile == "dev" { "debug" } else { profile };
    metadata.target_directory.join(target).join(folder).into_std_path_buf()
}

fn architecture(target: &str) -> Result<&'static str> {
    match target.split('-').next() {
        Some("x86_64") => Ok("amd64"),
        Some("aarch64") => Ok("arm64"),
        _ => bail!("no image can be made for {target}: only for x86_64 and aarch64"),
    }
}

/// Source: opencontainers/image-spec, `annotations.md`.
fn labels(shell: &Shell, version: &str) -> Result<BTreeMap<String, String>> {
    let revision = cmd!(shell, "git rev-parse HEAD").quiet().ignore_stderr().read();
    let mut labels = BTreeMap::from([
        ("title", "Steersman".to_owned()),
        ("description", "Kubernetes' control plane in Rust".to_owned()),
        ("version", version.to_owned()),
        ("licenses", env!("CARGO_PKG_LICENSE").to_owned()),
        ("source", env!("CARGO_PKG_REPOSITORY").to_owned()),
    ]);
    // A copy of the sources without their history has no revision.
    labels.extend(revision.ok().map(|revision| ("revision", revision)));
    let full = |(name, value): (&str, String)| (format!("org.opencontainers.image.{name}"), value);
    Ok(labels.into_iter().map(full).collect())
}

fn program_tree(program: &Path, bill: &[u8]) -> Result<Tree> {
    let mut tree = Tree::default();
    let content = fs::read(program).with_context(|| format!("the program {}", program.display()))?;
    tree.program(&format!("{FOLDER}/{PROGRAM}"), content);
    LINKS.iter().for_each(|name| tree.link(&format!("{FOLDER}/{name}"), PROGRAM));
    tree.file(BILL, bill);
    tree.file("usr/share/licenses/steersman/LICENSE", fs::read(workspace::root().join("LICENSE"))?);
    Ok(tree)
}

fn write(out: &Path, archive: &Archive, bill: &[u8]) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::write(out, &archive.bytes).with_context(|| out.display().to_string())?;
    let bill_path = out.with_extension("cdx.json");
    fs::write(&bill_path, bill).with_context(|| bill_path.display().to_string())
}

fn report(image: &Image, archive: &Archive, out: &Path) {
    println!("{}", out.display());
    println!("  {}@{}", image.reference, archive.digest);
    println!("  {:.1} MB compressed, linux/{}", archive.compressed as f64 / 1e6, image.architecture);
    for (purpose, tree) in &image.layers {
        println!("  {purpose}:");
        tree.paths().for_each(|path| println!("    /{path}"));
    }
}

/// What a dry run says.
fn describe(build: &[String], arguments: &Arguments, reference: &str) -> String {
    let build = match &arguments.programs {
        Some(folder) => format!("take {PROGRAM} from {}", folder.display()),
        None => build.join(" "),
    };
    let out = arguments.out.display();
    format!(
        "{build}\nwrite {out} ({reference}, an OCI archive) and {}",
        arguments.out.with_extension("cdx.json").display()
    )
}
