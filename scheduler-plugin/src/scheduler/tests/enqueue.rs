//! Which events bring a rejected pod back: after the table of upstream's `test/integration/scheduler/queueing`,
//! `CoreResourceEnqueue`, by the plugin that rejects.

mod devices;
mod volumes;

use serde_json::Value;

use super::world::merge;
use super::*;

/// Objects with the collections that they are in.
type Objects = Vec<(&'static str, Value)>;

/// A cluster in which the pod `p` is rejected.
struct Scene {
    objects: Objects,
    pod: Value,
    rows: Vec<Row>,
}

/// Something that happens after the pod was rejected.
#[derive(Clone)]
enum Change {
    Set(Objects),
    Delete(&'static str, &'static str),
}

/// What happens, and whether the pod is tried again for it.
struct Row {
    name: &'static str,
    change: Change,
    requeued: bool,
}

impl Scene {
    fn new(objects: impl IntoIterator<Item = (&'static str, Value)>, pod: Value) -> Self {
        Self { objects: objects.into_iter().collect(), pod, rows: Vec::new() }
    }

    /// The pod is tried again if this happens.
    fn wakes(mut self, name: &'static str, change: Change) -> Self {
        self.rows.push(Row { name, change, requeued: true });
        self
    }

    /// The pod is left alone if this happens.
    fn sleeps(mut self, name: &'static str, change: Change) -> Self {
        self.rows.push(Row { name, change, requeued: false });
        self
    }
}

impl Change {
    fn apply(&self, world: &World) {
        match self {
            Self::Set(objects) => objects.iter().for_each(|(collection, object)| world.set(collection, object.clone())),
            Self::Delete(collection, name) => world.delete(collection, name),
        }
    }
}

/// An object comes, or becomes what it is here.
fn set(collection: &'static str, object: Value) -> Change {
    Change::Set(vec![(collection, object)])
}

/// An object goes.
fn gone(collection: &'static str, name: &'static str) -> Change {
    Change::Delete(collection, name)
}

fn changed(mut object: Value, change: Value) -> Value {
    merge(&mut object, change);
    object
}

/// The pod, with something else about it.
fn p(cpu: &str, change: Value) -> Value {
    changed(pod("p", cpu), change)
}

/// A pod that runs on the first node.
fn on(name: &str, cpu: &str, change: Value) -> Value {
    changed(changed(pod(name, cpu), json!({"spec": {"nodeName": "n1"}})), change)
}

fn noted(mut object: Value) -> Value {
    object["metadata"]["labels"]["x"] = json!("y");
    object
}

fn tainted(name: &str, key: &str, cpu: &str) -> Value {
    changed(node(name, cpu), json!({"spec": {"taints": [{"key": key, "value": "b", "effect": "NoSchedule"}]}}))
}

fn cordoned(name: &str) -> Value {
    changed(node(name, "4"), json!({"spec": {"unschedulable": true}}))
}

fn labelled(name: &str, value: &str) -> Value {
    changed(node(name, "4"), json!({"metadata": {"labels": {"zone": value}}}))
}

fn allocatable(resources: Value) -> Value {
    changed(node("n1", "2"), json!({"status": {"allocatable": resources}}))
}

fn near(field: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"});
    json!({"spec": {"affinity": {field: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
}

fn port() -> Value {
    json!({"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}]}})
}

fn app(name: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}})
}

fn spread() -> Value {
    let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    p("1", changed(app("web"), json!({"spec": {"topologySpreadConstraints": [constraint]}})))
}

fn web(name: &str) -> Value {
    on(name, "1", app("web"))
}

fn pinned(names: &[&str], cpu: &str) -> Value {
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": names}]});
    let terms: Vec<Value> = names
        .iter()
        .map(|name| {
            changed(
                term.clone(),
                json!({"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": [name]}]}),
            )
        })
        .collect();
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    p(cpu, json!({"spec": {"affinity": {"nodeAffinity": required}}}))
}

fn taints() -> Vec<Scene> {
    let tolerates = |key: &str| json!({"spec": {"tolerations": [{"key": key, "operator": "Exists"}]}});
    let one = || pod("p", "1");
    vec![
        Scene::new([("nodes", tainted("n1", "a", "4"))], one())
            .sleeps("a tainted node gets more cpu", set("nodes", tainted("n1", "a", "8")))
            .wakes("the pod tolerates", set("pods", p("1", tolerates("a"))))
            .wakes("the taint is taken off", set("nodes", node("n1", "4")))
            .sleeps("the taint becomes another", set("nodes", tainted("n1", "b", "4")))
            .sleeps("a node with a taint comes", set("nodes", tainted("n2", "b", "4")))
            .sleeps("a label of the pod does not matter to taints", set("pods", noted(one()))),
        Scene::new([("nodes", tainted("n1", "a", "4"))], p("1", tolerates("b")))
            .wakes("the taint becomes one that is tolerated", set("nodes", tainted("n1", "b", "4")))
            .wakes("a node with a taint comes that is tolerated", set("nodes", tainted("n2", "b", "4"))),
        Scene::new([("nodes", cordoned("n1"))], one())
            .wakes("a node is uncordoned", set("nodes", node("n1", "4")))
            .wakes("the pod tolerates cordoned nodes", {
                set("pods", p("1", tolerates("node.kubernetes.io/unschedulable")))
            })
            .sleeps("another cordoned node comes", set("nodes", cordoned("n2")))
            .wakes("a node comes", set("nodes", node("n2", "4"))),
    ]
}

fn resources() -> Vec<Scene> {
    let full = || [("nodes", node("n1", "2")), ("pods", on("other", "2", json!({})))];
    let one = || pod("p", "1");
    let crowded = [("nodes", allocatable(json!({"pods": "1"}))), ("pods", on("other", "0", json!({})))];
    vec![
        Scene::new(full(), one())
            .wakes("a pod goes", gone("pods", "other"))
            .wakes("the node grows", set("nodes", node("n1", "4")))
            .wakes("a large node comes", set("nodes", node("n2", "4")))
            .wakes("another pod wants less", set("pods", on("other", "1", json!({}))))
            .sleeps("a label of the node does not matter to room", set("nodes", noted(node("n1", "2"))))
            .sleeps("a pod comes", set("pods", on("third", "0", json!({}))))
            .sleeps("the node gets more of what is not needed", {
                set("nodes", allocatable(json!({"example.com/gpu": "4"})))
            }),
        Scene::new(full(), pod("p", "3"))
            .sleeps("a small node comes", set("nodes", node("n2", "1")))
            .wakes("the pod wants less", set("pods", one())),
        Scene::new(crowded, one())
            .wakes("the node has room for more pods", set("nodes", allocatable(json!({"pods": "2"})))),
        Scene::new([("nodes", node("n1", "1"))], pinned(&["n1", "n2"], "2"))
            .wakes("a node that the pod names comes", set("nodes", node("n2", "4")))
            .wakes("a node that the pod names grows", set("nodes", node("n1", "4")))
            .sleeps("a node that the pod does not name comes, and is too small", set("nodes", node("n3", "1"))),
    ]
}

fn ports_and_labels() -> Vec<Scene> {
    let taken = [("nodes", node("n1", "4")), ("pods", on("other", "0", port())), ("pods", on("third", "0", json!({})))];
    vec![
        Scene::new(taken, p("0", port()))
            .wakes("the port is free", gone("pods", "other"))
            .wakes("a node comes whose ports are free", set("nodes", node("n2", "4")))
            .sleeps("a pod without the port goes", gone("pods", "third")),
        Scene::new([("nodes", labelled("n1", "a"))], p("1", json!({"spec": {"nodeSelector": {"zone": "b"}}})))
            .wakes("the node gets the label", set("nodes", labelled("n1", "b")))
            .sleeps("the node gets another label", set("nodes", labelled("n1", "c")))
            .wakes("a node with the label comes", set("nodes", labelled("n2", "b")))
            .sleeps("a node without the label comes", set("nodes", labelled("n2", "c"))),
    ]
}

fn other_pods() -> Vec<Scene> {
    let beside = |other: Value| [("nodes", labelled("n1", "a")), ("pods", other)];
    let nowhere = || [("nodes", node("n1", "4")), ("pods", web("other"))];
    let guarded = on("other", "1", changed(app("db"), near("podAntiAffinity")));
    let next_to = |place: Value| [("nodes", labelled("n1", "a")), ("nodes", place), ("pods", web("other"))];
    let full = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    vec![
        Scene::new(beside(on("other", "1", app("db"))), p("1", near("podAffinity")))
            .wakes("a pod becomes one that is liked", set("pods", web("other")))
            .wakes("a pod that is liked comes", set("pods", web("third")))
            .sleeps("a pod that nobody likes comes", set("pods", on("third", "1", json!({})))),
        Scene::new(beside(web("other")), p("1", near("podAntiAffinity")))
            .wakes("a pod that is disliked goes", gone("pods", "other"))
            .wakes("a pod becomes one that is not disliked", set("pods", on("other", "1", app("db"))))
            .wakes("a node elsewhere comes", set("nodes", labelled("n2", "b")))
            .wakes("the node moves elsewhere", set("nodes", labelled("n1", "b"))),
        Scene::new(beside(guarded), p("1", app("web")))
            .wakes("who dislikes the pod goes", gone("pods", "other"))
            .wakes("the pod becomes one that nobody dislikes", set("pods", p("1", app("db")))),
        Scene::new(nowhere(), p("1", near("podAffinity")))
            .wakes("the node gets the key of an affinity", set("nodes", labelled("n1", "a")))
            .wakes("a node with the key of an affinity comes", set("nodes", labelled("n2", "a")))
            .sleeps("a node without the key comes", set("nodes", node("n2", "4"))),
        Scene::new(next_to(changed(cordoned("n2"), json!({"metadata": {"labels": {"zone": "b"}}}))), spread())
            .wakes("a pod that counts goes", gone("pods", "other"))
            .wakes("a pod that counts does not any more", set("pods", on("other", "1", app("db"))))
            .wakes("a node in a domain comes", set("nodes", labelled("n3", "b"))),
        // The only zone without a taint is full of pods that count.
        Scene::new(next_to(changed(labelled("n2", "b"), full)), spread())
            .wakes("a taint goes", set("nodes", labelled("n2", "b")))
            .wakes("a domain goes", gone("nodes", "n2"))
            .wakes("a pod that counts comes", set("pods", web("third")))
            .sleeps("a pod that does not count comes", set("pods", on("third", "0", json!({})))),
        Scene::new(nowhere(), spread()).wakes("the node gets the key", set("nodes", labelled("n1", "a"))),
    ]
}

#[tokio::test(start_paused = true)]
async fn core_resource_enqueue() {
    let scenes = [taints(), resources(), ports_and_labels(), other_pods(), volumes::scenes(), devices::scenes()];
    for Scene { objects, pod, rows } in scenes.into_iter().flatten() {
        for Row { name, change, requeued } in rows {
            let world = World::default();
            objects.iter().for_each(|(collection, object)| world.set(collection, object.clone()));
            world.set("pods", pod.clone());
            let script = async {
                seconds(2).await;
                let before = world.writes().len();
                assert!(world.node_of("p").is_none() && before > 0, "{name}: not rejected");
                change.apply(&world);
                seconds(20).await;
                let tried = world.writes().len() > before;
                assert_eq!(tried, requeued, "{name}: {:?}", world.writes());
            };
            beside(&world, Options::default(), script).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_moves_only_those_that_were_rejected_for_want_of_it() {
    let world = World::default();
    world.set("nodes", tainted("n1", "a", "1"));
    world.set("pods", pod("p", "1"));
    let tolerant = json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}});
    world.set("pods", changed(pod("q", "2"), tolerant));
    let script = async {
        seconds(2).await;
        let before = world.writes().len();
        world.set("nodes", tainted("n1", "a", "2"));
        seconds(20).await;
        assert_eq!(world.node_of("q").as_deref(), Some("n1"));
        let told = world.writes().split_off(before);
        assert!(told.iter().all(|write| !write.starts_with("status p")), "{told:?}");
    };
    beside(&world, Options::default(), script).await;
}

#[tokio::test(start_paused = true)]
async fn who_left_only_some_nodes_is_one_of_those_that_rejected() {
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    world.set("nodes", node("n2", "4"));
    world.set("pods", pinned(&["n1"], "2"));
    let metrics = Metrics::recording();
    counted(&world, Options::default(), metrics.clone(), seconds(2)).await;
    let text = metrics.render();
    for (plugin, count) in [("NodeAffinity", 1), ("NodeResourcesFit", 1)] {
        let line = format!("scheduler_unschedulable_pods{{plugin=\"{plugin}\",profile=\"default-scheduler\"}} {count}");
        assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
    }
}
