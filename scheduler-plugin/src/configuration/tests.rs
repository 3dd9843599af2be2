//! Configuration files, good and bad.

use super::*;
use crate::profile::Profile;
use crate::registry::{Handle, Registry};

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn read(body: &str) -> Result<Configuration, ConfigurationError> {
    Configuration::from_yaml(&format!("{HEAD}{body}"))
}

/// The plugins of the first profile at a point, with weights.
fn plugins(body: &str, point: Point) -> Result<Vec<(&'static str, i64)>, String> {
    let configuration = read(body).unwrap();
    let profile = Profile::new(&configuration.profiles[0], &Registry::in_tree(), &Handle::for_tests());
    let profile = profile.map_err(|error| error.message)?;
    Ok(profile.at(point).iter().map(|entry| (entry.plugin.name(), entry.weight)).collect())
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(read("").unwrap(), Configuration::default());
    let scores = plugins("", Point::Score).unwrap();
    let expect = [
        ("TaintToleration", 3),
        ("NodeAffinity", 2),
        ("NodeResourcesFit", 1),
        ("PodTopologySpread", 2),
        ("InterPodAffinity", 2),
        ("DynamicResources", 2),
        ("NodeResourcesBalancedAllocation", 1),
        ("ImageLocality", 1),
    ];
    assert_eq!(scores, expect);
}

#[test]
fn complaints_name_the_field() {
    let check = |body: &str, expect: &str| assert_eq!(read(body).unwrap_err().to_string(), expect, "{body}");
    check("profile: []", "strict decoding error: unknown field \"profile\"");
    check(
        "profiles:\n- plugins:\n    filters: {}",
        "strict decoding error: unknown field \"profiles[0].plugins.filters\"",
    );
    check(
        "profiles:\n- plugins:\n    score:\n      enabled:\n      - name: A\n        wait: 2",
        "strict decoding error: unknown field \"profiles[0].plugins.score.enabled[0].wait\"",
    );
    check("profiles: 3", "profiles: must be a list");
    check("profiles:\n- schedulerName: 3", "profiles[0].schedulerName: must be a string");
    check("profiles:\n- schedulerName: a\n- schedulerName: a", "profiles[1].schedulerName: Duplicate value: \"a\"");
    check("percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]");
    check("podInitialBackoffSeconds: 0", "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0");
    check(
        "podInitialBackoffSeconds: 20",
        "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds",
    );
    check("parallelism: 0", "parallelism: Invalid value: 0: should be an integer value greater than zero");
    check(
        "profiles:\n- pluginConfig:\n  - {name: InterPodAffinity, args: {kind: NodeAffinityArgs}}",
        "profiles[0].pluginConfig[0].args.kind: args for plugin InterPodAffinity were not of type \
         InterPodAffinityArgs.kubescheduler.config.k8s.io, got NodeAffinityArgs.kubescheduler.config.k8s.io",
    );
    assert!(matches!(Configuration::from_yaml("a: ["), Err(ConfigurationError::Yaml(_))));
    assert_eq!(
        Configuration::from_yaml("apiVersion: v1\nkind: Pod").unwrap_err().to_string(),
        "no kind \"Pod\" is registered for version \"v1\": expected KubeSchedulerConfiguration of \
         kubescheduler.config.k8s.io/v1"
    );
}

#[test]
fn profiles_and_backoffs_are_read() {
    let found = read(
        "percentageOfNodesToScore: 30\npodInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 60\nprofiles:\n\
         - schedulerName: a\n- schedulerName: b\n  percentageOfNodesToScore: 50\n",
    );
    let found = found.unwrap();
    assert_eq!((found.pod_initial_backoff.as_secs(), found.pod_max_backoff.as_secs()), (2, 60));
    let shares: Vec<_> = found.profiles.iter().map(|profile| profile.percentage_of_nodes_to_score).collect();
    assert_eq!(shares, [Some(30), Some(50)]);
}

#[test]
fn single_points_come_before_multi_point_with_weights_of_their_own() {
    let body = "profiles:\n- plugins:\n    score:\n      enabled:\n      - name: ImageLocality\n        weight: 9\n      \
                - name: NodeAffinity\n      disabled:\n      - name: TaintToleration\n";
    let scores = plugins(body, Point::Score).unwrap();
    assert_eq!(scores[..3], [("ImageLocality", 9), ("NodeAffinity", 1), ("NodeResourcesFit", 1)]);
    assert!(!scores.iter().any(|(name, _)| *name == "TaintToleration"));
    assert!(plugins(body, Point::Filter).unwrap().iter().any(|(name, _)| *name == "TaintToleration"));
}

#[test]
fn all_defaults_can_be_switched_off_at_once() {
    let body = "profiles:\n- plugins:\n    multiPoint:\n      disabled:\n      - name: '*'\n      enabled:\n      \
                - name: PrioritySort\n      - name: DefaultBinder\n      - name: NodeResourcesFit\n        weight: 5\n";
    assert_eq!(plugins(body, Point::Score).unwrap(), [("NodeResourcesFit", 5)]);
    assert_eq!(plugins(body, Point::Filter).unwrap(), [("NodeResourcesFit", 5)]);
}

#[test]
fn profiles_that_can_not_work_are_refused() {
    let check = |plugins_body: &str, expect: &str| {
        let body = format!("profiles:\n- {plugins_body}");
        assert_eq!(plugins(&body, Point::Filter).unwrap_err(), expect);
    };
    check("plugins: {bind: {disabled: [{name: '*'}]}}", "at least one bind plugin is needed");
    check("plugins: {queueSort: {disabled: [{name: '*'}]}}", "no queue sort plugin is enabled");
    check("plugins: {filter: {enabled: [{name: Nobody}]}}", "plugin \"Nobody\" does not exist");
    check("pluginConfig: [{name: Nobody, args: {a: 1}}]", "plugin \"Nobody\" does not exist");
    check(
        "plugins: {filter: {enabled: [{name: ImageLocality}]}}",
        "plugin \"ImageLocality\" does not extend filter plugin",
    );
    check(
        "pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]",
        "initializing plugin \"InterPodAffinity\": hardPodAffinityWeight: Invalid value: 101: not in valid range [0-100]",
    );
    check(
        "pluginConfig: [{name: NodeAffinity, args: {kind: NodeAffinityArgs, added: 1}}]",
        "initializing plugin \"NodeAffinity\": unknown field `added`, expected `addedAffinity`",
    );
    check(
        "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]",
        "initializing plugin \"NodeResourcesFit\": scoringStrategy.type: unknown variant `Best`, expected one of \
         `LeastAllocated`, `MostAllocated`, `RequestedToCapacityRatio`",
    );
    check(
        "pluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: -1}}]",
        "initializing plugin \"VolumeBinding\": bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should \
         not be a negative value",
    );
    let added = |terms: &str| {
        let required = format!("requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: {terms}}}");
        format!("pluginConfig: [{{name: NodeAffinity, args: {{addedAffinity: {{{required}}}}}}}]")
    };
    let path = "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]";
    check(
        &added("[{matchExpressions: [{key: a, operator: Near}]}]"),
        &format!(
            "initializing plugin \"NodeAffinity\": {path}.matchExpressions[0].operator: Unsupported value: \"Near\": \
             supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\", \"Gt\", \"Lt\""
        ),
    );
    check(
        &added("[{matchFields: [{key: metadata.name, operator: In, values: [a, b]}]}]"),
        &format!(
            "initializing plugin \"NodeAffinity\": {path}.matchFields[0].values: Invalid value: 2: must have one element"
        ),
    );
}
