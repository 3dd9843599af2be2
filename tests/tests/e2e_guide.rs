//! The guide is right: what it links to is there, what it says to run exists, and its references name every flag.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The programs, and their commands.
const PROGRAMS: [(&str, &str, &[&str]); 3] = [
    ("steersman", env!("CARGO_BIN_EXE_cluster_process"), &["up", "ready", "demo", "schedule"]),
    ("steersman-controllers", env!("CARGO_BIN_EXE_controllers_process"), &[]),
    ("steersman-scheduler", env!("CARGO_BIN_EXE_scheduler_process"), &[]),
];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document for people.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = ["docs/guide", "docs/adr", "docs/performance", "."]
        .iter()
        .flat_map(|folder| fs::read_dir(workspace().join(folder)).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    assert!(documents.len() > 15, "{documents:?}");
    documents
}

/// The text without blocks of code; and the lines of those alone.
fn prose_and_code(text: &str) -> (String, Vec<&str>) {
    let (mut prose, mut code, mut fenced) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            code.push(line);
        } else {
            prose += line;
            prose.push('\n');
        }
    }
    (prose, code)
}

/// Where links of a text lead to.
fn links(text: &str) -> Vec<String> {
    let (prose, _) = prose_and_code(text);
    let parts = prose.split("](").skip(1);
    parts.filter_map(|part| part.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

/// The anchors of a document's headings, as mdBook and code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let (prose, _) = prose_and_code(text);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| {
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for document in documents() {
        for link in links(&read(&document)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: there is no {link}", document.display());
            if !anchor.is_empty() && target.extension().is_some_and(|extension| extension == "md") {
                let found = anchors(&read(&target));
                assert!(found.contains(anchor), "{}: {link} is none of {found:?}", document.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links were found");
}

#[test]
fn every_page_is_in_the_book_once() {
    let folder = workspace().join("docs/guide");
    let mut pages = links(&read(folder.join("SUMMARY.md")));
    pages.sort();
    let mut files: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    files.sort();
    assert_eq!(pages, files);
    for page in pages {
        let text = read(folder.join(&page));
        assert!(
            text.starts_with("# ") && text.lines().filter(|line| line.starts_with("```")).count() % 2 == 0,
            "{page}"
        );
    }
}

/// What a program says of itself.
fn help(program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    command.env_clear().env("COLUMNS", "120").args(words).arg("--help");
    said(&mut command)
}

fn xtask_help(words: &[&str]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).args(["run", "--quiet", "--package", "xtask", "--"]).args(words).arg("--help");
    said(&mut command)
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The `--flags` in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let words = text.split(|letter: char| !is_part(letter));
    let flag = |word: &&str| word.len() > 3 && word.starts_with("--") && word.as_bytes()[2].is_ascii_lowercase();
    words.filter(flag).map(|word| word.trim_end_matches('-').to_owned()).collect()
}

/// The reference of flags is what the programs say.
#[test]
fn every_flag_of_every_program_is_in_the_reference() {
    let mut text = "# The flags of every program\n\nWhat `--help` says.\n".to_owned();
    for (name, program, commands) in PROGRAMS {
        let calls: Vec<Vec<&str>> =
            if commands.is_empty() { vec![vec![]] } else { commands.iter().map(|command| vec![*command]).collect() };
        for words in calls {
            let call = [&[name], words.as_slice()].concat().join(" ");
            text += &format!("\n## `{call}`\n\n```text\n{}\n```\n", help(program, &words).trim_end());
        }
    }
    let path = workspace().join("docs/guide/flags.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), text, "flags.md is stale: run this test with UPDATE=1");

    // The page of `steersman up` tells more of each, and has to know all of them as well.
    let table: String = read(workspace().join("docs/guide/command.md"))
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| format!("{}\n", line.split('|').nth(1).unwrap_or_default()))
        .collect();
    let mut expect = flags(&help(PROGRAMS[0].1, &["up"]));
    expect.remove("--help");
    let missing: Vec<_> = expect.iter().filter(|flag| !flags(&table).contains(*flag)).collect();
    assert!(missing.is_empty(), "docs/guide/command.md does not tell of {missing:?}");
}

/// What is to be run, one command each: from blocks of code and from between backticks.
fn commands(text: &str) -> Vec<String> {
    let (prose, code) = prose_and_code(text);
    let inline = prose.split('`').skip(1).step_by(2).map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut commands: Vec<String> = inline.collect();
    let mut open = String::new();
    for line in code {
        let line = line.trim().split(" #").next().unwrap_or_default().trim();
        match line.strip_suffix('\\') {
            Some(more) => open += more,
            None => commands.push(std::mem::take(&mut open) + line),
        }
    }
    commands
}

#[test]
fn whatever_is_to_be_run_exists() {
    let xtask = xtask_help(&[]);
    let known: Vec<&str> =
        xtask.lines().filter(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next()).collect();
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    for document in documents() {
        for command in commands(&read(&document)) {
            let Some((_, rest)) = command.split_once("cargo xtask ") else { continue };
            let name: String =
                rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
            if name.is_empty() {
                continue;
            }
            assert!(
                known.contains(&name.as_str()),
                "{}: there is no `cargo xtask {name}`: {command}",
                document.display()
            );
            let mut words = vec![name.as_str()];
            let second =
                rest.split_whitespace().nth(1).filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
            words.extend(second.filter(|_| name == "bench"));
            let help = helps.entry(words.join(" ")).or_insert_with(|| xtask_help(&words));
            let own = rest.split(" -- ").next().unwrap_or_default().split(['|', ';', '&']).next().unwrap_or_default();
            for flag in flags(own) {
                assert!(
                    flags(help).contains(&flag),
                    "{}: `cargo xtask {}` has no {flag}",
                    document.display(),
                    words.join(" ")
                );
            }
        }
    }
    assert!(helps.len() > 8, "{:?}", helps.keys());
}

#[test]
fn programs_have_the_flags_that_are_told() {
    let mut checked = 0;
    for document in documents() {
        for command in commands(&read(&document)) {
            let command = command.replace("cargo run --release -- ", "steersman ");
            let words: Vec<&str> = command.split_whitespace().collect();
            for (name, program, subcommands) in PROGRAMS {
                let Some(at) = words.iter().position(|word| word.rsplit('/').next() == Some(name)) else { continue };
                let next = words.get(at + 1).copied().unwrap_or_default();
                let of: Vec<&str> = subcommands.iter().copied().filter(|command| *command == next).collect();
                // A release or a crate of that name, or only the word.
                let told = words.get(at + 1 + of.len()).is_some_and(|word| word.starts_with("--"));
                if at > 0 && !words[at - 1].contains("=") || !told || !subcommands.is_empty() && of.is_empty() {
                    continue;
                }
                for flag in flags(&words[at..].join(" ")) {
                    let help = help(program, &of);
                    assert!(flags(&help).contains(&flag), "{}: {name} has no {flag}: {command}", document.display());
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 3, "{checked}");
}

/// Every value of the chart that is told is one, and every one at the top is told.
#[test]
fn the_values_of_the_chart_are_those_that_are_told() {
    let values: Value = serde_saphyr::from_str(&read(workspace().join("charts/steersman/values.yaml"))).unwrap();
    let text = read(workspace().join("docs/guide/configuration.md"));
    let mut told = BTreeSet::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split('|').nth(1).unwrap_or_default();
        let mut before = String::new();
        for path in cell.split('`').skip(1).step_by(2) {
            // `.tag` after `image.repository` is `image.tag`.
            let full = match path.strip_prefix('.') {
                Some(last) => format!("{}.{last}", before.rsplit_once('.').map_or("", |(parent, _)| parent)),
                None => path.to_owned(),
            };
            let found = full.split('.').try_fold(&values, |value, part| value.get(part));
            assert!(found.is_some(), "values.yaml has no {full}");
            told.insert(full.split('.').next().unwrap().to_owned());
            before = full;
        }
    }
    for name in values.as_object().unwrap().keys() {
        assert!(told.contains(name), "docs/guide/configuration.md does not tell of {name}");
    }
}
