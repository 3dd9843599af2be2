//! Devices: claims, classes, and the slices in which drivers publish what they have.
//! Source: `resource.k8s.io/v1`; KEP-4381.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{AnnotatedMetadata, Map, Metadata, NodeSelector, Toleration, nullable, time};

/// `v1.PodResourceClaim`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResourceClaim {
    /// The name in the pod.
    pub name: String,
    /// A claim by its name; without one it is made from a template, and its name stands in the pod's status.
    pub resource_claim_name: Option<String>,
}

/// `v1.PodResourceClaimStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResourceClaimStatus {
    /// The name in the pod.
    pub name: String,
    /// The claim that was made; absent if none was needed.
    pub resource_claim_name: Option<String>,
}

/// `resource.k8s.io/v1.ResourceClaim`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceClaim {
    /// The metadata.
    pub metadata: AnnotatedMetadata,
    /// The wish.
    pub spec: ResourceClaimSpec,
    /// The state.
    #[serde(deserialize_with = "nullable")]
    pub status: ResourceClaimStatus,
}

/// `resource.k8s.io/v1.ResourceClaimSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceClaimSpec {
    /// Which devices.
    #[serde(deserialize_with = "nullable")]
    pub devices: DeviceClaim,
}

/// `resource.k8s.io/v1.DeviceClaim`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceClaim {
    /// Each asks for devices.
    #[serde(deserialize_with = "nullable")]
    pub requests: Vec<DeviceRequest>,
    /// What must hold between devices.
    #[serde(deserialize_with = "nullable")]
    pub constraints: Vec<DeviceConstraint>,
    /// What drivers are told.
    #[serde(deserialize_with = "nullable")]
    pub config: Vec<DeviceConfiguration>,
}

/// `resource.k8s.io/v1.DeviceRequest`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceRequest {
    /// The name in the claim.
    pub name: String,
    /// What is asked for.
    pub exactly: Option<ExactDeviceRequest>,
    /// Or the first of these that can be had.
    #[serde(deserialize_with = "nullable")]
    pub first_available: Vec<ExactDeviceRequest>,
}

/// `resource.k8s.io/v1.ExactDeviceRequest` and `DeviceSubRequest`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExactDeviceRequest {
    /// The name of a subrequest.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// The class.
    #[serde(deserialize_with = "nullable")]
    pub device_class_name: String,
    /// What must hold of each device.
    #[serde(deserialize_with = "nullable")]
    pub selectors: Vec<DeviceSelector>,
    /// `ExactCount` (default) or `All`.
    #[serde(deserialize_with = "nullable")]
    pub allocation_mode: String,
    /// How many; 0 means 1.
    #[serde(deserialize_with = "nullable")]
    pub count: usize,
    /// Whether it looks after devices that others have.
    #[serde(deserialize_with = "nullable")]
    pub admin_access: bool,
    /// Which taints of devices it puts up with.
    #[serde(deserialize_with = "nullable")]
    pub tolerations: Vec<DeviceToleration>,
    /// How much of each device is wanted.
    #[serde(deserialize_with = "nullable")]
    pub capacity: CapacityRequirements,
}

/// `resource.k8s.io/v1.DeviceToleration`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceToleration {
    /// What it tolerates.
    #[serde(flatten)]
    pub of: Toleration,
    /// For how long, if not for ever.
    #[serde(rename = "tolerationSeconds")]
    pub seconds: Option<i64>,
}

/// `resource.k8s.io/v1.CapacityRequirements`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CapacityRequirements {
    /// Amounts by the name of the capacity.
    #[serde(deserialize_with = "nullable")]
    pub requests: Map,
}

/// `resource.k8s.io/v1.DeviceSelector`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceSelector {
    /// An expression.
    pub cel: Option<CelDeviceSelector>,
}

/// `resource.k8s.io/v1.CELDeviceSelector`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CelDeviceSelector {
    /// The expression.
    pub expression: String,
}

/// `resource.k8s.io/v1.DeviceConstraint`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceConstraint {
    /// Between the devices of which requests; of all if it is empty.
    #[serde(deserialize_with = "nullable")]
    pub requests: Vec<String>,
    /// An attribute that all have with the same value.
    pub match_attribute: Option<String>,
    /// An attribute that all have with different values.
    pub distinct_attribute: Option<String>,
}

/// `resource.k8s.io/v1.DeviceClaimConfiguration`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceConfiguration {
    /// For which requests; for all if it is empty.
    #[serde(deserialize_with = "nullable")]
    pub requests: Vec<String>,
    /// What the driver is told.
    pub opaque: Option<Value>,
}

/// `resource.k8s.io/v1.ResourceClaimStatus`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceClaimStatus {
    /// The devices that it has got.
    pub allocation: Option<AllocationResult>,
    /// The pods that may use them.
    #[serde(deserialize_with = "nullable")]
    pub reserved_for: Vec<ConsumerReference>,
    /// What drivers say of devices.
    #[serde(deserialize_with = "nullable")]
    pub devices: Vec<AllocatedDeviceStatus>,
}

/// `resource.k8s.io/v1.AllocatedDeviceStatus`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AllocatedDeviceStatus {
    /// The driver.
    pub driver: String,
    /// The pool.
    pub pool: String,
    /// The device.
    pub device: String,
    /// Its conditions.
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<DeviceCondition>,
}

/// A condition of a device, as `metav1.Condition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeviceCondition {
    /// The type.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, for programs.
    #[serde(deserialize_with = "nullable")]
    pub reason: String,
    /// Why, for people.
    #[serde(deserialize_with = "nullable")]
    pub message: String,
}

/// `resource.k8s.io/v1.ResourceClaimConsumerReference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ConsumerReference {
    /// Its uid.
    pub uid: String,
}

/// `resource.k8s.io/v1.AllocationResult`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllocationResult {
    /// The devices.
    #[serde(deserialize_with = "nullable")]
    pub devices: DeviceAllocationResult,
    /// On which nodes they can be used; on all if it is absent.
    pub node_selector: Option<NodeSelector>,
    /// When it was decided.
    #[serde(deserialize_with = "time")]
    pub allocation_timestamp: Option<Timestamp>,
}

/// `resource.k8s.io/v1.DeviceAllocationResult`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceAllocationResult {
    /// One for each device.
    #[serde(deserialize_with = "nullable")]
    pub results: Vec<AllocatedDevice>,
}

/// `resource.k8s.io/v1.DeviceRequestAllocationResult`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllocatedDevice {
    /// The driver.
    pub driver: String,
    /// The pool.
    pub pool: String,
    /// The device.
    pub device: String,
    /// Whether others can have it, too.
    #[serde(deserialize_with = "nullable")]
    pub admin_access: bool,
    /// Which share of the device it is, if others can have other shares.
    #[serde(rename = "shareID")]
    pub share_id: Option<String>,
    /// How much of the device it takes.
    #[serde(deserialize_with = "nullable")]
    pub consumed_capacity: Map,
    /// Conditions of the device without which the pod must not be bound.
    #[serde(deserialize_with = "nullable")]
    pub binding_conditions: Vec<String>,
    /// Conditions of the device with which it never will.
    #[serde(deserialize_with = "nullable")]
    pub binding_failure_conditions: Vec<String>,
}

/// `resource.k8s.io/v1.DeviceClass`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceClass {
    /// The metadata.
    pub metadata: Metadata,
    /// The class.
    pub spec: DeviceClassSpec,
}

/// `resource.k8s.io/v1.DeviceClassSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceClassSpec {
    /// The extended resource by which pods can ask for its devices, too.
    pub extended_resource_name: Option<String>,
    /// What must hold of a device of the class.
    #[serde(deserialize_with = "nullable")]
    pub selectors: Vec<DeviceSelector>,
    /// What drivers are told.
    #[serde(deserialize_with = "nullable")]
    pub config: Vec<DeviceConfiguration>,
}

/// `resource.k8s.io/v1.ResourceSlice`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceSlice {
    /// The metadata.
    pub metadata: Metadata,
    /// The slice.
    pub spec: ResourceSliceSpec,
}

/// Which nodes can reach a device.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reach {
    /// One node.
    pub node_name: Option<String>,
    /// Some nodes.
    pub node_selector: Option<NodeSelector>,
    /// Every node.
    #[serde(deserialize_with = "nullable")]
    pub all_nodes: bool,
}

/// `resource.k8s.io/v1.ResourceSliceSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceSliceSpec {
    /// The driver.
    pub driver: String,
    /// To which pool it belongs.
    pub pool: ResourcePool,
    /// Which nodes can reach its devices.
    #[serde(flatten)]
    pub reach: Reach,
    /// Whether each device says so itself.
    #[serde(deserialize_with = "nullable")]
    pub per_device_node_selection: bool,
    /// The devices.
    #[serde(deserialize_with = "nullable")]
    pub devices: Vec<Device>,
    /// What devices share.
    #[serde(deserialize_with = "nullable")]
    pub shared_counters: Vec<Counters>,
}

/// `resource.k8s.io/v1.ResourcePool`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourcePool {
    /// The name.
    pub name: String,
    /// Only slices of the newest generation count.
    pub generation: i64,
    /// How many slices of that generation there are.
    pub resource_slice_count: usize,
}

/// `resource.k8s.io/v1.Device`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    /// The name in its pool.
    pub name: String,
    /// What it is like.
    #[serde(deserialize_with = "nullable")]
    pub attributes: BTreeMap<String, Value>,
    /// What it has.
    #[serde(deserialize_with = "nullable")]
    pub capacity: BTreeMap<String, DeviceCapacity>,
    /// What it takes of what devices share.
    #[serde(deserialize_with = "nullable")]
    pub consumes_counters: Vec<Counters>,
    /// Which nodes can reach it.
    #[serde(flatten)]
    pub reach: Reach,
    /// Taints.
    #[serde(deserialize_with = "nullable")]
    pub taints: Vec<super::Taint>,
    /// Whether several requests can have it.
    #[serde(deserialize_with = "nullable")]
    pub allow_multiple_allocations: bool,
    /// Whether it can be used on one node only, once it was given, whichever could reach it before.
    #[serde(deserialize_with = "nullable")]
    pub binds_to_node: bool,
    /// Conditions without which a pod must not be bound.
    #[serde(deserialize_with = "nullable")]
    pub binding_conditions: Vec<String>,
    /// Conditions with which a pod never will be.
    #[serde(deserialize_with = "nullable")]
    pub binding_failure_conditions: Vec<String>,
}

/// `resource.k8s.io/v1.DeviceCapacity` and `Counter`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceCapacity {
    /// How much.
    pub value: String,
    /// Which amounts can be had of a device that several requests share.
    pub request_policy: Option<CapacityRequestPolicy>,
}

/// `resource.k8s.io/v1.CapacityRequestPolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityRequestPolicy {
    /// The amount of who does not say.
    pub default: Option<String>,
    /// The only amounts; ascending.
    #[serde(deserialize_with = "nullable")]
    pub valid_values: Vec<String>,
    /// Or a range of them.
    pub valid_range: Option<CapacityRequestPolicyRange>,
}

/// `resource.k8s.io/v1.CapacityRequestPolicyRange`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CapacityRequestPolicyRange {
    /// The least.
    pub min: Option<String>,
    /// The most.
    pub max: Option<String>,
    /// Amounts are the least and multiples of this beyond it.
    pub step: Option<String>,
}

/// `resource.k8s.io/v1.CounterSet` and `DeviceCounterConsumption`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// The name of the set, or of the set that is drawn from.
    #[serde(alias = "counterSet")]
    pub name: String,
    /// The counters.
    #[serde(deserialize_with = "nullable")]
    pub counters: BTreeMap<String, DeviceCapacity>,
}
