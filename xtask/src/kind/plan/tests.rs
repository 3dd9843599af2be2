use std::fs;
use std::path::Path;

use super::*;

fn wanted(scheduler: Scheduler) -> Wanted {
    Wanted {
        cluster: "steersman".to_owned(),
        engine: "docker".to_owned(),
        node_image: config::NODE_IMAGE.to_owned(),
        scheduler,
        image: "localhost/steersman".to_owned(),
        tag: "1.2.3".to_owned(),
    }
}

/// Compares with a file beside this one; `UPDATE=1` writes it.
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kind/goldens").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} is stale: run this test with UPDATE=1", path.display());
}

fn text(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

#[test]
fn every_command_is_told_by_a_dry_run() {
    check("up.txt", &text(&up(&wanted(Scheduler::Second))));
    check("up-default-scheduler.txt", &text(&up(&wanted(Scheduler::Default))));
    let podman = Wanted { engine: "podman".to_owned(), ..wanted(Scheduler::Second) };
    check("up-podman.txt", &text(&up(&podman)));
    check("load.txt", &text(&load(&wanted(Scheduler::Second))));
    check("down.txt", &text(&down(&wanted(Scheduler::Second))));
}

#[test]
fn the_rendered_configuration_is_as_it_was() {
    check("cluster.yaml", &config::render(config::NODE_IMAGE));
}

#[test]
fn what_is_made_can_be_taken_back_and_is_not_made_twice() {
    let steps = up(&wanted(Scheduler::Second));
    let create = steps.iter().find_map(|step| match step {
        Step::Run(run) if run.command.starts_with(&words("kind create")) => Some(run),
        _ => None,
    });
    let create = create.unwrap();
    assert!(create.unless.is_some());
    assert!(create.undo.as_ref().unwrap().0.starts_with(&words("kind delete cluster --name steersman")));
}
