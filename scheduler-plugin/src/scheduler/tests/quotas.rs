//! Elastic quotas in the whole loop, in virtual time.

use super::*;
use crate::Configuration;

const CONFIGURATION: &str = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- plugins:
    multiPoint: {enabled: [{name: CapacityScheduling}]}
    postFilter: {enabled: [{name: CapacityScheduling}], disabled: [{name: '*'}]}
";

fn add(world: &World, namespace: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let mut pod = pod(&format!("{namespace}{number}"), "1");
        pod["metadata"]["namespace"] = json!(namespace);
        world.set("pods", pod);
    }
}

fn bound(world: &World, namespace: &str) -> usize {
    (0..10).filter(|number| world.node_of(&format!("{namespace}{number}")).is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn what_was_lent_is_claimed_back_by_eviction_and_lent_again_when_it_is_free() {
    let world = World::default();
    world.set("nodes", node("n1", "8"));
    for namespace in ["a", "b"] {
        world.set(
            "elasticquotas",
            json!({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "ElasticQuota",
                   "metadata": {"name": format!("of-{namespace}"), "namespace": namespace},
                   "spec": {"min": {"cpu": "4"}, "max": {"cpu": "6"}}}),
        );
    }
    add(&world, "a", 0..7);
    let script = async {
        seconds(5).await;
        assert_eq!(bound(&world, "a"), 6, "two are borrowed, and no more may be");
        add(&world, "b", 0..4);
        seconds(60).await;
        assert_eq!((bound(&world, "a"), bound(&world, "b")), (4, 4));
        let evicted = world.writes().iter().filter(|write| write.starts_with("delete a")).count();
        assert_eq!(evicted, 2);
        for number in 0..4 {
            world.delete("pods", &format!("b{number}"));
        }
        seconds(60).await;
        assert_eq!(bound(&world, "a"), 5, "the one that was left over has come");
    };
    let options = Options { configuration: Configuration::from_yaml(CONFIGURATION).unwrap(), ..Options::default() };
    beside(&world, options, script).await;
}
