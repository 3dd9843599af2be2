//! Every way in which it goes wrong, with programs that only say what they were told to do. What they "made" is in files.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::kind::plan::{self, Scheduler, Wanted};

/// What stands in for each program: it writes down how it was called, fails if it is told to, and remembers what there is.
const ENGINE: &str = r#"
case "$1 $2" in
info*) [ ! -e "$STATE/engine-down" ] ;;
"image inspect") [ -e "$STATE/pulled" ] && echo present ;;
"pull "*) touch "$STATE/pulled" ;;
"exec "*) shift 2
    case "$1" in
    ls) if [ "$2" = /etc/kubernetes ]; then [ ! -e "$STATE/scheduler-stopped" ] || echo kube-scheduler.yaml
        else [ -e "$STATE/scheduler-stopped" ] || echo kube-scheduler.yaml; fi ;;
    mv) if [ "$3" = /etc/kubernetes/kube-scheduler.yaml ]; then touch "$STATE/scheduler-stopped"
        else rm -f "$STATE/scheduler-stopped"; fi ;;
    esac ;;
esac
"#;
const KIND: &str = r#"
case "$1 $2" in
version*) cat "$STATE/kind-version" ;;
"get clusters") [ ! -e "$STATE/cluster" ] || echo steersman ;;
"create cluster") [ ! -e "$STATE/cluster" ] || exit 1; touch "$STATE/cluster" ;;
"delete cluster") rm -f "$STATE/cluster" "$STATE/release" "$STATE/scheduler-stopped" ;;
"export kubeconfig"|"load image-archive") [ -e "$STATE/cluster" ] ;;
esac
"#;
const HELM: &str = r#"
case "$1" in
list) [ "$(cat "$STATE/release" 2>/dev/null)" != pending ] || echo steersman ;;
uninstall) rm "$STATE/release" ;;
upgrade) [ "$(cat "$STATE/release" 2>/dev/null)" != pending ] || exit 1; echo deployed > "$STATE/release" ;;
esac
"#;
/// kubectl and cargo: whatever they are told, they do.
const DONE: &str = "";

/// A machine with these programs and no others.
struct Fake {
    home: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let fake = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir_all(fake.path("bin")).unwrap();
        fs::create_dir_all(fake.path("state")).unwrap();
        for (name, script) in [("docker", ENGINE), ("kind", KIND), ("helm", HELM), ("kubectl", DONE), ("cargo", DONE)] {
            fake.program(name, script);
        }
        for tool in ["sh", "env", "cat", "touch", "rm", "true", "grep"] {
            let found = ["/bin", "/usr/bin"].iter().map(|folder| Path::new(folder).join(tool)).find(|it| it.exists());
            std::os::unix::fs::symlink(found.unwrap(), fake.path("bin").join(tool)).unwrap();
        }
        fake.says("kind-version", "kind v0.33.0 go1.25.4 linux/amd64");
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A file that the programs look at.
    fn says(&self, name: &str, content: &str) {
        fs::write(self.path("state").join(name), content).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.path("state").join(name).exists()
    }

    fn program(&self, name: &str, script: &str) {
        let state = self.path("state").display().to_string();
        // A command that fails once has its words in a file; `killed` ends whoever runs it.
        let common = format!(
            "#!/bin/sh\nSTATE={state}\necho \"{name} $*\" >> \"$STATE/log\"\n\
             if [ -e \"$STATE/fails\" ] && echo \"{name} $*\" | grep -q \"$(cat \"$STATE/fails\")\"; then\n\
             rm \"$STATE/fails\"; echo 'it does not work' >&2\n{}exit 1; fi\n",
            if name == "kind" { "case \"$1\" in create) touch \"$STATE/cluster\";; esac\n" } else { "" }
        );
        let path = self.path("bin").join(name);
        fs::write(&path, common + script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn without(&self, name: &str) {
        fs::remove_file(self.path("bin").join(name)).unwrap();
    }

    fn search_path(&self) -> OsString {
        self.path("bin").into_os_string()
    }

    fn wanted(&self, scheduler: Scheduler) -> Wanted {
        Wanted {
            cluster: "steersman".to_owned(),
            engine: engine(None, &self.search_path()),
            node_image: "kindest/node:v1.36".to_owned(),
            scheduler,
            image: "localhost/steersman".to_owned(),
            tag: "1".to_owned(),
        }
    }

    fn up(&self, scheduler: Scheduler) -> Result<()> {
        execute(&plan::up(&self.wanted(scheduler)), self.home.path(), self.search_path())
    }

    /// What was asked of the programs since the last look, but for questions.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("state/log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("state/log"));
        let questions = [" info", " version", " image inspect", " get clusters", " list ", " ls "];
        log.lines().filter(|line| !questions.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
    }

    #[track_caller]
    fn fails(&self, scheduler: Scheduler, expect: &str) -> Vec<String> {
        let error = format!("{:#}", self.up(scheduler).unwrap_err());
        assert!(error.contains(expect), "{error}");
        self.log()
    }
}

fn position(log: &[String], start: &str) -> usize {
    log.iter().position(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {log:?}"))
}

#[test]
fn a_second_run_makes_nothing_twice() {
    let fake = Fake::new();
    fake.up(Scheduler::Second).unwrap();
    let first = fake.log();
    for command in ["docker pull", "kind create", "kind load", "helm upgrade", "kubectl"] {
        position(&first, command);
    }
    assert!(!fake.path("target/kind/half-made").exists());
    fake.up(Scheduler::Second).unwrap();
    let second = fake.log();
    assert!(
        !second.iter().any(|line| line.starts_with("docker pull") || line.starts_with("kind create")),
        "{second:?}"
    );
    // The programs may have changed, and the values.
    position(&second, "kind load");
    position(&second, "helm upgrade --install");
}

#[test]
fn what_is_not_there_is_told_at_once_and_nothing_is_begun() {
    let fake = Fake::new();
    for name in ["docker", "kind", "helm", "kubectl"] {
        fake.without(name);
    }
    let error = format!("{:#}", fake.up(Scheduler::Second).unwrap_err());
    for (program, advice) in
        [("docker", "install Docker Engine"), ("kind", "go install sigs.k8s.io/kind"), ("helm", "cargo xtask tools")]
    {
        assert!(error.contains(&format!("  {program}: ")) && error.contains(advice), "{error}");
    }
    assert!(fake.log().is_empty() && !fake.path("target").exists());

    // An engine that does not run, and a kind that does not know the nodes.
    let fake = Fake::new();
    fake.says("engine-down", "");
    fake.says("kind-version", "kind v0.20.0 go1.20.4 linux/amd64");
    let error = format!("{:#}", fake.up(Scheduler::Second).unwrap_err());
    assert!(error.contains("docker is installed, but its engine does not answer"), "{error}");
    assert!(error.contains("kind is too old (0.20): kind 0.33 or newer"), "{error}");
    assert!(!fake.has("cluster"));
}

#[test]
fn podman_is_taken_where_docker_is_not_and_kind_is_told() {
    let fake = Fake::new();
    fake.without("docker");
    fake.program("podman", ENGINE);
    let told = "[ \"$1\" = version ] || [ \"$KIND_EXPERIMENTAL_PROVIDER\" = podman ] || exit 1\n";
    fake.program("kind", &format!("{told}{KIND}"));
    fake.up(Scheduler::Default).unwrap();
    position(&fake.log(), "podman exec steersman-control-plane mv");
}

#[test]
fn a_cluster_that_could_not_be_made_is_deleted_and_made_at_the_next_run() {
    let fake = Fake::new();
    fake.says("fails", "^kind create");
    let log = fake.fails(Scheduler::Second, "`kind create cluster");
    assert!(position(&log, "kind delete cluster") > position(&log, "kind create cluster"));
    assert!(!fake.has("cluster") && !fake.path("target/kind/half-made").exists());
    fake.up(Scheduler::Second).unwrap();
    position(&fake.log(), "kind create cluster");
}

#[test]
fn what_an_interrupted_run_left_half_made_is_deleted_first() {
    let fake = Fake::new();
    // As a run leaves it that is ended while kind works.
    fs::create_dir_all(fake.path("target/kind")).unwrap();
    fs::write(fake.path("target/kind/half-made"), "").unwrap();
    fake.says("cluster", "");
    // It cannot be deleted: nobody goes on with it.
    fake.says("fails", "^kind delete");
    let log = fake.fails(Scheduler::Second, "has to be removed by hand");
    assert!(!log.iter().any(|line| line.starts_with("helm") || line.starts_with("kind create")), "{log:?}");
    fake.up(Scheduler::Second).unwrap();
    let log = fake.log();
    assert!(position(&log, "kind delete cluster") < position(&log, "kind create cluster"));

    // helm was interrupted: it would refuse to go on.
    fake.says("release", "pending");
    fake.up(Scheduler::Second).unwrap();
    let log = fake.log();
    assert!(position(&log, "helm uninstall steersman") < position(&log, "helm upgrade"));
    fake.up(Scheduler::Second).unwrap();
    assert!(!fake.log().iter().any(|line| line.starts_with("helm uninstall")));
}

#[test]
fn whatever_fails_ends_it_with_advice_and_the_next_run_goes_on_there() {
    let steps = [
        ("^docker pull", "the engine needs to know", "kind create"),
        ("^kind export", "`kind export kubeconfig", "cargo"),
        ("^kubectl .* wait", "docker start steersman-control-plane", "cargo"),
        ("^cargo xtask image", "`cargo xtask image", "kind load"),
        ("^kind load", "`kind load image-archive", "helm upgrade"),
        ("^helm upgrade", "`helm upgrade", "kubectl --kubeconfig target/kind/kubeconfig rollout"),
        (
            "^kubectl .* rollout status statefulset",
            "rollout status statefulset",
            "kubectl --kubeconfig target/kind/kubeconfig apply",
        ),
        (
            "^kubectl .* apply",
            "apply -f samples/web.yaml",
            "kubectl --kubeconfig target/kind/kubeconfig apply -f samples/nginx",
        ),
    ];
    for (fails, expect, after) in steps {
        let fake = Fake::new();
        fake.says("fails", fails);
        let log = fake.fails(Scheduler::Second, expect);
        assert!(!log.iter().any(|line| line.starts_with(after)), "{fails}: {log:?}");
        let had_cluster = fake.has("cluster");
        fake.up(Scheduler::Second).unwrap();
        let log = fake.log();
        position(&log, after);
        assert_eq!(log.iter().any(|line| line.starts_with("kind create")), !had_cluster, "{fails}: {log:?}");
    }
}

#[test]
fn somebody_binds_pods_at_every_moment() {
    let fake = Fake::new();
    fake.up(Scheduler::Default).unwrap();
    let log = fake.log();
    let (stop, ready) =
        ("docker exec steersman-control-plane mv", "kubectl --kubeconfig target/kind/kubeconfig rollout");
    assert!(position(&log, stop) > position(&log, ready), "ours has to be there before the built-in one is stopped");
    assert!(fake.has("scheduler-stopped"));
    fake.up(Scheduler::Default).unwrap();
    assert!(!fake.log().iter().any(|line| line.starts_with(stop)));
    // And back: the built-in one is there before ours gives way.
    fake.up(Scheduler::Second).unwrap();
    let log = fake.log();
    assert!(position(&log, stop) < position(&log, "helm upgrade"));
    assert!(!fake.has("scheduler-stopped"));
}

#[test]
fn down_leaves_nothing_and_does_not_mind_if_there_is_nothing() {
    let fake = Fake::new();
    fake.up(Scheduler::Second).unwrap();
    fs::write(fake.path("target/kind/kubeconfig"), "").unwrap();
    // kind and the engine suffice.
    fake.without("helm");
    fake.without("kubectl");
    for _ in 0..2 {
        execute(&plan::down(&fake.wanted(Scheduler::Second)), fake.home.path(), fake.search_path()).unwrap();
        assert!(!fake.has("cluster") && fs::read_dir(fake.path("target/kind")).unwrap().next().is_none());
    }
}

#[test]
fn versions_are_read_as_programs_tell_them() {
    for (said, expect) in [
        ("kind v0.33.0 go1.25.4 linux/amd64", Some((0, 33))),
        ("kind (@v0.31.0-alpha+1) go1.24", Some((0, 31))),
        ("kind version 0.8.1", Some((0, 8))),
        ("built by hand", None),
    ] {
        assert_eq!(version_in(said), expect, "{said}");
    }
}
