//! Random clusters, pods and configurations. Few names and small numbers, so that things meet.

use serde_json::{Map, Value, json};
use steersman_machinery::random::Random;

/// How large things become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub nodes: u64,
    pub pods: u64,
    pub steps: u64,
}

pub struct Generator {
    random: Random,
    names: u64,
}

const RESOURCES: [&str; 7] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "example.com/gpu",
    "hugepages-2Mi",
    "other.com/fpga",
    "scheduling.kubernetes.io/slots",
];
const KEYS: [&str; 4] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack", "disk"];

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::seeded(seed), names: 0 }
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.random.below(bound.max(1))
    }

    /// Once in so many times.
    pub fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&self, from: &[&'a T]) -> &'a T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn some(&self, most: u64, one: impl Fn(&Self) -> Value) -> Value {
        Value::Array((0..self.below(most + 1)).map(|_| one(self)).collect())
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    pub fn namespaces() -> Vec<Value> {
        let namespace = |name: &str, labels: Value| {
            let mut labels = labels;
            labels["kubernetes.io/metadata.name"] = json!(name);
            json!({"metadata": {"name": name, "labels": labels}})
        };
        vec![
            namespace("default", json!({"team": "red"})),
            namespace("other", json!({"team": "blue"})),
            namespace("third", json!({})),
        ]
    }

    fn pod_labels(&self) -> Value {
        let mut labels = Map::new();
        for (key, values) in [("app", ["web", "db"]), ("tier", ["front", "back"]), ("version", ["1", "2"])] {
            if !self.once_in(3) {
                labels.insert(key.to_owned(), json!(self.pick(&values)));
            }
        }
        Value::Object(labels)
    }

    fn selector(&self) -> Value {
        let expression = |this: &Self| {
            let key = this.pick(&["app", "tier", "version"]);
            let values = json!([this.pick(&["web", "front", "1"]), this.pick(&["db", "back", "2"])]);
            match this.below(5) {
                0 => json!({"key": key, "operator": "Exists"}),
                1 => json!({"key": key, "operator": "DoesNotExist"}),
                2 => json!({"key": key, "operator": "NotIn", "values": values}),
                _ => json!({"key": key, "operator": "In", "values": values}),
            }
        };
        match self.below(12) {
            0 => json!({}),
            1 => Value::Null,
            2..=7 => json!({"matchLabels": {"app": self.pick(&["web", "db"])}}),
            _ => json!({"matchExpressions": self.some(2, expression)}),
        }
    }

    /// A node; with the name of an old one if that is to be changed.
    pub fn node(&mut self, name: Option<&str>) -> Value {
        let name = name.map_or_else(|| self.name("n"), str::to_owned);
        let mut labels = Map::new();
        for (key, values) in [
            ("topology.kubernetes.io/zone", &["a", "b", "c", "a", "b", "c", ""][..]),
            ("rack", &["1", "2", "7", "x"]),
            ("disk", &["ssd", "hdd"]),
        ] {
            if !self.once_in(5) {
                labels.insert(key.to_owned(), json!(self.pick(values)));
            }
        }
        if !self.once_in(12) {
            labels.insert("kubernetes.io/hostname".to_owned(), json!(name));
        }
        let mut allocatable = Map::new();
        for resource in RESOURCES {
            if !self.once_in(if resource == "cpu" || resource == "memory" { 30 } else { 3 }) {
                allocatable.insert(resource.to_owned(), json!(self.quantity(resource, 8)));
            }
        }
        if !self.once_in(30) {
            allocatable.insert("pods".to_owned(), json!((2 + self.below(12)).to_string()));
        }
        let taint = |this: &Self| {
            let effect = this.pick(&["NoSchedule", "NoExecute", "PreferNoSchedule", "PreferNoSchedule"]);
            let key = this.pick(&["dedicated", "maintenance", "node.kubernetes.io/unschedulable"]);
            json!({"key": key, "value": this.pick(&["", "x", "y", "3", "-7"]), "effect": effect})
        };
        let taints = if self.once_in(3) { self.some(3, taint) } else { json!([]) };
        let mib = |count: u64| count * 1024 * 1024;
        let images: Vec<Value> = [("app:1", 400), ("app:latest", 40), ("registry:5000/db:latest", 3000)]
            .into_iter()
            .filter(|_| self.once_in(2))
            .map(|(name, size)| json!({"names": [name, format!("{name}-alias")], "sizeBytes": mib(size)}))
            .collect();
        json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints, "unschedulable": self.once_in(12)},
            "status": {"allocatable": allocatable, "images": images},
        })
    }

    fn quantity(&self, resource: &str, most: u64) -> String {
        let units = self.below(most + 1);
        match resource {
            "cpu" if self.once_in(2) => format!("{}m", units * 250),
            "cpu" => units.to_string(),
            "memory" | "ephemeral-storage" | "hugepages-2Mi" => format!("{}Mi", units * 512),
            _ => units.to_string(),
        }
    }

    fn requests(&self) -> Value {
        let mut requests = Map::new();
        for (place, resource) in RESOURCES.into_iter().enumerate() {
            if self.once_in(if place < 2 { 2 } else { 12 }) {
                requests.insert(resource.to_owned(), json!(self.quantity(resource, 2)));
            }
        }
        Value::Object(requests)
    }

    fn container(&self) -> Value {
        let port = |this: &Self| {
            json!({
                "containerPort": 80,
                "hostPort": this.below(4),
                "hostIP": this.pick(&["", "0.0.0.0", "10.0.0.1", "10.0.0.2"]),
                "protocol": this.pick(&["TCP", "TCP", "UDP"]),
            })
        };
        let ports = if self.once_in(8) { self.some(2, port) } else { json!([]) };
        let image = self.pick(&["app:1", "app", "registry:5000/db", "unknown", "app:1-alias"]);
        json!({"name": "c", "image": image, "resources": {"requests": self.requests()}, "ports": ports})
    }

    fn toleration(&self) -> Value {
        let effect = self.pick(&["", "NoSchedule", "NoExecute", "PreferNoSchedule"]);
        let key = self.pick(&["dedicated", "maintenance", "node.kubernetes.io/unschedulable"]);
        match self.below(6) {
            0 => json!({"operator": "Exists", "effect": effect}),
            1 => json!({"key": key, "operator": "Exists", "effect": effect}),
            2 => {
                let (operator, value) = (self.pick(&["Lt", "Gt"]), self.pick(&["0", "3", "4", "x"]));
                json!({"key": key, "operator": operator, "value": value, "effect": effect})
            }
            _ => json!({"key": key, "value": self.pick(&["", "x", "y"]), "effect": effect}),
        }
    }

    fn node_requirement(&self) -> Value {
        let key = self.pick(&["topology.kubernetes.io/zone", "rack", "disk"]);
        let values = json!([self.pick(&["a", "1", "ssd"]), self.pick(&["b", "2", "hdd"])]);
        match self.below(8) {
            0 => json!({"key": key, "operator": "Exists"}),
            1 => json!({"key": key, "operator": "DoesNotExist"}),
            2 => json!({"key": key, "operator": "NotIn", "values": values}),
            3 => json!({"key": "rack", "operator": "Gt", "values": [self.pick(&["0", "1", "5"])]}),
            4 => json!({"key": "rack", "operator": "Lt", "values": [self.pick(&["2", "5", "7"])]}),
            _ => json!({"key": key, "operator": "In", "values": values}),
        }
    }

    fn node_term(&self) -> Value {
        let field = |this: &Self| {
            let name = format!("n{}", 1 + this.below(8));
            json!({"key": "metadata.name", "operator": this.pick(&["In", "In", "NotIn"]), "values": [name]})
        };
        let fields = if self.once_in(3) { self.some(2, field) } else { json!([]) };
        json!({"matchExpressions": self.some(2, Self::node_requirement), "matchFields": fields})
    }

    fn node_affinity(&self) -> Value {
        let mut affinity = json!({});
        if self.once_in(2) {
            let mut terms = self.some(2, Self::node_term);
            terms.as_array_mut().unwrap().push(self.node_term());
            affinity["requiredDuringSchedulingIgnoredDuringExecution"] = json!({"nodeSelectorTerms": terms});
        }
        if self.once_in(2) {
            let term = |this: &Self| json!({"weight": 1 + this.below(100), "preference": this.node_term()});
            affinity["preferredDuringSchedulingIgnoredDuringExecution"] = self.some(3, term);
        }
        affinity
    }

    fn pod_term(&self) -> Value {
        let mut term = json!({"topologyKey": self.pick(&KEYS)});
        let selector = self.selector();
        if !selector.is_null() {
            term["labelSelector"] = selector;
        }
        if self.once_in(5) {
            term["namespaces"] = json!([self.pick(&["default", "other", "third"])]);
        }
        match self.below(12) {
            0 => term["namespaceSelector"] = json!({}),
            1 => term["namespaceSelector"] = json!({"matchLabels": {"team": self.pick(&["red", "blue"])}}),
            _ => {}
        }
        term
    }

    fn pod_affinity(&self) -> Value {
        let mut affinity = json!({});
        if self.once_in(2) {
            affinity["requiredDuringSchedulingIgnoredDuringExecution"] = self.some(2, Self::pod_term);
        }
        if self.once_in(2) {
            let term = |this: &Self| json!({"weight": 1 + this.below(100), "podAffinityTerm": this.pod_term()});
            affinity["preferredDuringSchedulingIgnoredDuringExecution"] = self.some(3, term);
        }
        affinity
    }

    fn spread(&self) -> Value {
        let mut constraint = json!({
            "topologyKey": self.pick(&KEYS),
            "maxSkew": 1 + self.below(3),
            "whenUnsatisfiable": self.pick(&["DoNotSchedule", "ScheduleAnyway"]),
        });
        let selector = self.selector();
        if !selector.is_null() {
            constraint["labelSelector"] = selector;
            if self.once_in(4) {
                constraint["matchLabelKeys"] = json!([self.pick(&["version", "tier"])]);
            }
        }
        if self.once_in(4) && constraint["whenUnsatisfiable"] == "DoNotSchedule" {
            constraint["minDomains"] = json!(1 + self.below(5));
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if self.once_in(3) {
                constraint[policy] = json!(self.pick(&["Honor", "Ignore"]));
            }
        }
        constraint
    }

    /// A pod without a node. What is rare in life is not rare here.
    pub fn pod(&mut self) -> Value {
        let name = self.name("p");
        let namespace = self.pick(&["default", "default", "default", "other", "third"]);
        let priority = [0, 0, 0, 10, 100, -5][usize::try_from(self.below(6)).unwrap()];
        let mut spec = json!({
            "schedulerName": "default-scheduler",
            "containers": [self.container()],
            "priority": priority,
        });
        if self.once_in(3) {
            let more = spec["containers"].as_array_mut().unwrap();
            more.push(self.container());
        }
        if self.once_in(4) {
            let init = |this: &Self| {
                let mut container = this.container();
                if this.once_in(2) {
                    container["restartPolicy"] = json!("Always");
                }
                container
            };
            spec["initContainers"] = self.some(3, init);
        }
        if self.once_in(10) {
            let mut requests = Map::new();
            for resource in ["cpu", "memory", "hugepages-2Mi"].into_iter().filter(|_| self.once_in(2)) {
                requests.insert(resource.to_owned(), json!(self.quantity(resource, 4)));
            }
            spec["resources"] = json!({"requests": requests});
        }
        if self.once_in(10) {
            spec["overhead"] = json!({"cpu": "100m", "memory": "64Mi"});
        }
        if self.once_in(2) {
            spec["tolerations"] = self.some(3, Self::toleration);
        }
        if self.once_in(6) {
            let (key, value) = [("disk", "ssd"), ("topology.kubernetes.io/zone", "a"), ("rack", "1")]
                [usize::try_from(self.below(3)).unwrap()];
            spec["nodeSelector"] = json!({key: value});
        }
        for (field, often) in [("nodeAffinity", 4), ("podAffinity", 5), ("podAntiAffinity", 4)] {
            if self.once_in(often) {
                let affinity = if field == "nodeAffinity" { self.node_affinity() } else { self.pod_affinity() };
                spec["affinity"][field] = affinity;
            }
        }
        if self.once_in(3) {
            spec["topologySpreadConstraints"] = self.some(3, Self::spread);
        }
        if self.once_in(10) {
            spec["preemptionPolicy"] = json!("Never");
        }
        if self.once_in(10) {
            let image = self.pick(&["app:1", "registry:5000/db"]);
            spec["volumes"] = json!([{"name": "v", "image": {"reference": image}}]);
        }
        if self.once_in(5) {
            let volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
            spec["volumes"] = json!([volumes, self.volumes_of_pod()].concat());
        }
        if self.once_in(8) {
            let claim = |number: u64| {
                let name = format!("c{}", self.below(if self.once_in(10) { 9 } else { 6 }));
                json!({"name": format!("x{number}"), "resourceClaimName": name})
            };
            spec["resourceClaims"] = (0..=self.below(2)).map(claim).collect();
        }
        let mut metadata = json!({"name": name, "namespace": namespace, "uid": name, "labels": self.pod_labels()});
        if self.once_in(3) {
            let (kind, version) =
                [("ReplicaSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("ReplicationController", "v1")]
                    [usize::try_from(self.below(3)).unwrap()];
            let owner = json!({"apiVersion": version, "kind": kind, "name": "owner", "uid": "o", "controller": true});
            metadata["ownerReferences"] = json!([owner]);
        }
        json!({"metadata": metadata, "spec": spec, "status": {}})
    }

    /// A pod that runs on a node.
    pub fn running(&mut self, node: &str) -> Value {
        let mut pod = self.pod();
        if self.once_in(6) {
            self.resize(&mut pod);
        }
        pod["spec"]["nodeName"] = json!(node);
        // Which of two equally important pods has to go is not said: so none are.
        if self.once_in(5) {
            pod["spec"]["priority"] = json!(-i64::try_from(self.names).unwrap());
        } else {
            pod["status"]["startTime"] = self.start_time();
        }
        if self.once_in(10) {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
            if self.once_in(2) {
                let condition =
                    json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"});
                pod["status"]["conditions"] = json!([condition]);
            }
        }
        pod
    }

    /// What the node says of a pod that is being resized, or was.
    fn resize(&self, pod: &mut Value) {
        for (field, statuses) in [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")] {
            let containers = pod["spec"][field].as_array_mut().into_iter().flatten();
            let said = containers.enumerate().map(|(place, container)| {
                container["name"] = json!(format!("{field}-{place}"));
                let mut status = json!({"name": container["name"], "allocatedResources": self.requests()});
                if !self.once_in(4) {
                    status["resources"] = json!({"requests": self.requests()});
                }
                status
            });
            pod["status"][statuses] = said.collect();
        }
        if self.once_in(2) {
            pod["status"]["resources"] = json!({"requests": self.requests()});
            pod["status"]["allocatedResources"] = self.requests();
        }
        if self.once_in(3) {
            let reason = self.pick(&["Infeasible", "Deferred"]);
            pod["status"]["conditions"] = json!([{"type": "PodResizePending", "status": "True", "reason": reason}]);
        }
    }

    /// Another one each time, in no order.
    pub fn start_time(&mut self) -> Value {
        self.names += 1;
        json!(format!("2026-01-01T00:00:0{}.{:06}Z", self.below(10), self.names))
    }

    /// What there is of volumes and devices, each with its kind.
    pub fn stored(&mut self, nodes: &[String]) -> Vec<Value> {
        let mut all = Vec::new();
        let places = json!([{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["a", "b"]}]}]);
        for (name, provisioner, mode) in [
            ("made", "csi.example.com", "WaitForFirstConsumer"),
            ("static", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
            ("now", "csi.example.com", "Immediate"),
        ] {
            let mut class = json!({"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner,
                "volumeBindingMode": mode});
            if self.once_in(2) {
                class["allowedTopologies"] = places.clone();
            }
            all.push(class);
        }
        for number in 0..10 {
            let (volume, claim) = self.volume(number);
            all.extend(volume);
            all.extend(claim);
        }
        for node in nodes {
            if self.once_in(3) {
                let driver =
                    json!({"name": "csi.example.com", "nodeID": node, "allocatable": {"count": 1 + self.below(3)}});
                all.push(json!({"kind": "CSINode", "metadata": {"name": node}, "spec": {"drivers": [driver]}}));
            }
            if self.once_in(2) {
                all.extend(self.pool(node, json!({"nodeName": node})));
            }
        }
        all.extend(self.pool("everywhere", json!({"allNodes": true})));
        all.push(json!({"kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}}));
        for number in 0..6 {
            all.push(self.device_claim(number, nodes));
        }
        all
    }

    /// A volume and the claim on it; one of them may be missing.
    fn volume(&self, number: u64) -> (Option<Value>, Option<Value>) {
        let (name, claim_name) = (format!("v{number}"), format!("c{number}"));
        let class = self.pick(&["made", "static", "static", "now"]);
        let size = format!("{}Gi", 1 + self.below(4));
        let mut labels = json!({});
        if self.once_in(3) {
            labels["topology.kubernetes.io/zone"] = json!(self.pick(&["a", "b", "a__c"]));
        }
        let mut volume = json!({
            "kind": "PersistentVolume", "metadata": {"name": name, "labels": labels},
            "spec": {"storageClassName": class, "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
                "csi": {"driver": "csi.example.com", "volumeHandle": name}},
        });
        if self.once_in(3) {
            let mut term = json!({"matchExpressions": [self.node_requirement()]});
            if self.once_in(4) {
                term["matchFields"] = json!([{"key": "metadata.name", "operator": "In", "values": ["nobody"]}]);
            }
            volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [term]}});
        }
        let size = format!("{}Gi", 1 + self.below(4));
        let namespace = self.pick(&["default", "default", "other"]);
        let mode = self.pick(&["ReadWriteOnce", "ReadWriteOnce", "ReadWriteOncePod"]);
        let mut claim = json!({
            "kind": "PersistentVolumeClaim", "metadata": {"name": claim_name, "namespace": namespace, "uid": claim_name},
            "spec": {"storageClassName": class, "accessModes": [mode], "resources": {"requests": {"storage": size}}},
            "status": {"phase": "Pending"},
        });
        if self.once_in(2) {
            claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
            claim["spec"]["volumeName"] = json!(name);
            claim["status"]["phase"] = json!("Bound");
            volume["status"] = json!({"phase": "Bound"});
            volume["spec"]["claimRef"] = json!({"namespace": namespace, "name": claim_name, "uid": claim_name});
        } else {
            claim["spec"]["accessModes"] = json!(["ReadWriteOnce"]);
            volume["status"] = json!({"phase": self.pick(&["Available", "Available", "Released"])});
        }
        match self.below(20) {
            0 => claim["status"]["phase"] = json!("Lost"),
            1 => claim["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z"),
            _ => {}
        }
        ((!self.once_in(10)).then_some(volume), (!self.once_in(15)).then_some(claim))
    }

    /// The slices of a pool: one with devices, and sometimes one with counters that the devices draw from.
    fn pool(&self, name: &str, place: Value) -> Vec<Value> {
        let shared = self.once_in(3);
        let mut devices = Vec::new();
        for number in 0..self.below(4) {
            let mut attributes = json!({"model": {"string": self.pick(&["old", "new"])}});
            if !self.once_in(4) {
                attributes["board"] = json!({"int": self.below(2)});
            }
            let mut device = json!({"name": format!("d{number}"), "attributes": attributes});
            if self.once_in(5) {
                device["taints"] = json!([{"key": "broken", "effect": "NoSchedule"}]);
            }
            if shared && !self.once_in(4) {
                let counters = json!({"memory": {"value": self.quantity("memory", 3)}});
                device["consumesCounters"] = json!([{"counterSet": "board", "counters": counters}]);
            }
            devices.push(device);
        }
        let slice = |suffix: &str, content: (&str, Value)| {
            let pool = json!({"name": name, "generation": 1, "resourceSliceCount": 1 + u8::from(shared)});
            let mut slice = json!({"kind": "ResourceSlice", "metadata": {"name": format!("{name}{suffix}")},
                "spec": {"driver": "gpu", "pool": pool, content.0: content.1}});
            slice["spec"].as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
            slice
        };
        let mut slices = vec![slice("", ("devices", json!(devices)))];
        if shared {
            let counters = json!({"memory": {"value": self.quantity("memory", 5)}});
            slices.push(slice("-shared", ("sharedCounters", json!([{"name": "board", "counters": counters}]))));
        }
        slices
    }

    /// What is asked for of a class: one device or several, all of them, or those that others have.
    fn wanted(&self, is_constrained: bool) -> Value {
        let class = if self.once_in(20) { "none" } else { "gpu" };
        let mut wanted = json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": 1 + self.below(2)});
        // All of them under a constraint is an error of the claim, if they are not alike.
        if !is_constrained && self.once_in(8) {
            wanted = json!({"deviceClassName": class, "allocationMode": "All"});
        }
        if self.once_in(2) {
            let expression = format!("device.attributes[\"gpu\"].model == {:?}", self.pick(&["old", "new"]));
            wanted["selectors"] = json!([{"cel": {"expression": expression}}]);
        }
        if self.once_in(4) {
            wanted["tolerations"] = json!([{"key": "broken", "operator": "Exists"}]);
        }
        wanted
    }

    fn device_claim(&self, number: u64, nodes: &[String]) -> Value {
        let is_constrained = self.once_in(3);
        let mut requests = Vec::new();
        for name in ["r", "s"].into_iter().take(1 + usize::from(self.once_in(3))) {
            if self.once_in(3) {
                let alternative = |number: u64| {
                    let mut wanted = self.wanted(is_constrained);
                    wanted["name"] = json!(format!("a{number}"));
                    wanted
                };
                let alternatives: Vec<Value> = (0..=self.below(3)).map(alternative).collect();
                requests.push(json!({"name": name, "firstAvailable": alternatives}));
                continue;
            }
            let mut wanted = self.wanted(is_constrained);
            if self.once_in(8) {
                wanted["adminAccess"] = json!(true);
            }
            requests.push(json!({"name": name, "exactly": wanted}));
        }
        let mut claim = json!({
            "kind": "ResourceClaim",
            "metadata": {"name": format!("c{number}"), "namespace": "default", "uid": format!("d{number}")},
            "spec": {"devices": {"requests": requests}}, "status": {},
        });
        if is_constrained {
            let attribute = self.pick(&["matchAttribute", "distinctAttribute"]);
            let mut constraint = json!({attribute: "gpu/board"});
            if self.once_in(3) {
                constraint["requests"] = json!([self.pick(&["r", "s"])]);
            }
            claim["spec"]["devices"]["constraints"] = json!([constraint]);
        }
        if self.once_in(4) {
            let pool = nodes.first().map_or("everywhere", String::as_str);
            let result = json!({"request": "r", "driver": "gpu", "pool": self.pick(&[pool, "everywhere"]),
                "device": format!("d{}", self.below(3))});
            let term = json!({"matchExpressions": [self.node_requirement()]});
            // Somebody else uses it, too: so that nobody takes its devices away.
            let other = json!([{"resource": "pods", "name": "x", "uid": "x"}]);
            claim["status"] = json!({"reservedFor": other, "allocation": {"devices": {"results": [result]},
                "nodeSelector": {"nodeSelectorTerms": [term]}}});
        }
        if self.once_in(20) {
            claim["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        }
        claim
    }

    fn volumes_of_pod(&self) -> Vec<Value> {
        let one = |number: u64| {
            let source = match self.below(6) {
                0 => json!({"gcePersistentDisk": {"pdName": self.pick(&["a", "b"]), "readOnly": self.once_in(2)}}),
                1 => json!({"awsElasticBlockStore": {"volumeID": self.pick(&["a", "b"])}}),
                _ => json!({"persistentVolumeClaim": {"claimName": format!("c{}", self.below(10))}}),
            };
            let mut volume = json!({"name": format!("w{number}")});
            volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            volume
        };
        (0..=self.below(2)).map(one).collect()
    }

    /// Services and owners, each with its kind.
    pub fn selecting(&mut self) -> Vec<(&'static str, Value)> {
        let mut all = Vec::new();
        let labels = |this: &Self| json!({this.pick(&["app", "tier"]): this.pick(&["web", "db", "front", "back"])});
        for _ in 0..self.below(3) {
            let namespace = self.pick(&["default", "other"]);
            let metadata = json!({"name": self.name("s"), "namespace": namespace});
            let mut spec = json!({});
            if !self.once_in(6) {
                spec["selector"] = labels(self);
            }
            all.push(("Service", json!({"metadata": metadata, "spec": spec})));
        }
        for kind in ["ReplicaSet", "StatefulSet", "ReplicationController"] {
            if self.once_in(2) {
                let set = json!({"matchLabels": labels(self)});
                let selector = if kind == "ReplicationController" { labels(self) } else { set };
                let metadata = json!({"name": "owner", "namespace": "default"});
                all.push((kind, json!({"metadata": metadata, "spec": {"selector": selector}})));
            }
        }
        all
    }

    pub fn budget(&mut self) -> Value {
        let metadata = json!({"name": self.name("b"), "namespace": self.pick(&["default", "other"])});
        let mut budget = json!({"metadata": metadata, "spec": {}, "status": {
            "disruptionsAllowed": self.below(3), "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
        }});
        let selector = self.selector();
        if !selector.is_null() {
            budget["spec"]["selector"] = selector;
        }
        if self.once_in(3) {
            budget["status"]["disruptedPods"] = json!({"p20": "2026-01-01T00:00:00Z", "p30": "2026-01-01T00:00:00Z"});
        }
        budget
    }

    /// A profile with arguments for its plugins.
    pub fn profile(&mut self) -> Value {
        let weighted = |this: &Self, names: &[&str]| -> Value {
            let mut all = Vec::new();
            for name in names.iter().filter(|_| this.once_in(2)) {
                all.push(json!({"name": name, "weight": 1 + this.below(5)}));
            }
            json!(all)
        };
        let names = ["cpu", "memory", "ephemeral-storage", "example.com/gpu", "pods", "hugepages-2Mi"];
        let kind = self.pick(&["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]);
        let mut strategy = json!({"type": kind});
        if self.once_in(2) {
            strategy["resources"] = weighted(self, &names);
        }
        if kind == "RequestedToCapacityRatio" {
            let (mut shape, mut at) = (Vec::new(), 0);
            for _ in 0..=self.below(4) {
                at += self.below(24);
                shape.push(json!({"utilization": at, "score": self.below(11)}));
                at += 1;
            }
            strategy["requestedToCapacityRatio"] = json!({"shape": shape});
        }
        let mut fit = json!({"scoringStrategy": strategy});
        if self.once_in(4) {
            fit["ignoredResources"] = json!(["example.com/gpu"]);
        }
        if self.once_in(4) {
            fit["ignoredResourceGroups"] = json!(["other.com"]);
        }
        let mut affinity = json!({});
        if self.once_in(4) {
            affinity["addedAffinity"] = self.node_affinity();
        }
        let mut balanced = json!({});
        if self.once_in(3) {
            balanced["resources"] = weighted(self, &names);
            for resource in balanced["resources"].as_array_mut().unwrap() {
                resource["weight"] = json!(1);
            }
        }
        let mut spread = json!({"defaultingType": "System"});
        if self.once_in(3) {
            let constraint = |this: &Self| {
                json!({
                    "topologyKey": this.pick(&KEYS),
                    "maxSkew": 1 + this.below(3),
                    "whenUnsatisfiable": this.pick(&["DoNotSchedule", "ScheduleAnyway"]),
                })
            };
            let mut constraints = vec![constraint(self)];
            if self.once_in(2) {
                constraints.push(constraint(self));
                let (first, second) = (&constraints[0], &constraints[1]);
                if ["topologyKey", "whenUnsatisfiable"].iter().all(|field| first[*field] == second[*field]) {
                    constraints.pop();
                }
            }
            spread = json!({"defaultingType": "List", "defaultConstraints": constraints});
        }
        let near = json!({
            "hardPodAffinityWeight": self.below(5),
            "ignorePreferredTermsOfExistingPods": self.once_in(4),
        });
        let mut disabled = Vec::new();
        if self.once_in(4) {
            let all = ["NodeUnschedulable", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit"];
            let more = ["PodTopologySpread", "InterPodAffinity", "NodeResourcesBalancedAllocation", "ImageLocality"];
            disabled.push(json!({"name": self.pick(&[self.pick(&all), self.pick(&more)])}));
        }
        json!({
            "schedulerName": "default-scheduler",
            "plugins": {"multiPoint": {"disabled": disabled}},
            "pluginConfig": [
                {"name": "NodeResourcesFit", "args": fit},
                {"name": "NodeAffinity", "args": affinity},
                {"name": "NodeResourcesBalancedAllocation", "args": balanced},
                {"name": "PodTopologySpread", "args": spread},
                {"name": "InterPodAffinity", "args": near},
            ],
        })
    }
}
