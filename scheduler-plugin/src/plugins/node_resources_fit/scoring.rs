//! The strategies by which nodes with room are compared.

use serde::Deserialize;

use crate::pod::PodSpec;
use crate::resources::{MAX_NODE_SCORE, is_scalar};
use crate::snapshot::{CPU, MEMORY, PODS, Row, Snapshot};

/// The highest score in a shape.
const MAX_SHAPE_SCORE: i64 = 10;
const MAX_UTILIZATION: i64 = 100;
const MAX_WEIGHT: i64 = 100;

/// `ScoringStrategy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScoringStrategy {
    /// Which way to compare.
    #[serde(rename = "type")]
    pub strategy_type: ScoringStrategyType,
    /// The resources that count, with weights; cpu and memory alike if empty.
    pub resources: Vec<ResourceSpec>,
    /// The shape for [`ScoringStrategyType::RequestedToCapacityRatio`].
    pub requested_to_capacity_ratio: Option<RequestedToCapacityRatio>,
}

/// Which way to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ScoringStrategyType {
    /// Emptier is better.
    #[default]
    LeastAllocated,
    /// Fuller is better.
    MostAllocated,
    /// As a shape says.
    RequestedToCapacityRatio,
}

/// A resource with a weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceSpec {
    /// The resource.
    pub name: String,
    /// From 1 to 100; 1 if absent.
    pub weight: i64,
}

/// `RequestedToCapacityRatioParam`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestedToCapacityRatio {
    /// Points of the function from utilization to score.
    pub shape: Vec<UtilizationShapePoint>,
}

/// A point of the function from utilization to score.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UtilizationShapePoint {
    /// From 0 to 100 percent.
    pub utilization: i64,
    /// From 0 to 10.
    pub score: i64,
}

#[derive(Debug)]
enum Strategy {
    Least,
    Most,
    /// Utilization and score, the latter up to 100.
    Shape(Vec<(i64, i64)>),
}

/// A strategy and the resources it looks at.
#[derive(Debug)]
pub(crate) struct ResourceScorer {
    strategy: Strategy,
    resources: Vec<ResourceSpec>,
}

/// One resource on all nodes, with what the pod adds to it.
pub(crate) struct Weighted<'a> {
    pub(crate) allocatable: &'a [i64],
    pub(crate) requested: &'a [i64],
    pub(crate) pod: i64,
    weight: i64,
}

/// The resources that count if none are given: cpu and memory alike.
pub(crate) fn resources_or_default(resources: Vec<ResourceSpec>) -> Result<Vec<ResourceSpec>, String> {
    let default = |name: &str| ResourceSpec { name: name.to_owned(), weight: 1 };
    if resources.is_empty() {
        return Ok(vec![default("cpu"), default("memory")]);
    }
    for (place, resource) in resources.iter().enumerate() {
        if !(0..=MAX_WEIGHT).contains(&resource.weight) {
            return Err(format!(
                "resources[{place}].weight: Invalid value: {}: resource weight of {} not in valid range [1, 100]",
                resource.weight, resource.name
            ));
        }
        if resources[..place].iter().any(|other| other.name == resource.name) {
            return Err(format!("resources[{place}].name: Duplicate value: {:?}", resource.name));
        }
    }
    let weighted = resources.into_iter().map(|resource| ResourceSpec { weight: resource.weight.max(1), ..resource });
    Ok(weighted.collect())
}

impl ResourceScorer {
    pub(crate) fn new(strategy: ScoringStrategy) -> Result<Self, String> {
        let failed = |error: String| format!("scoringStrategy.{error}");
        Ok(Self {
            strategy: match strategy.strategy_type {
                ScoringStrategyType::LeastAllocated => Strategy::Least,
                ScoringStrategyType::MostAllocated => Strategy::Most,
                ScoringStrategyType::RequestedToCapacityRatio => {
                    let ratio = strategy.requested_to_capacity_ratio.unwrap_or_default();
                    Strategy::Shape(shape(&ratio.shape).map_err(failed)?)
                }
            },
            resources: resources_or_default(strategy.resources).map_err(failed)?,
        })
    }

    /// The columns that count for a pod.
    pub(crate) fn resources<'a>(&self, pod: &PodSpec, snapshot: &'a Snapshot) -> Vec<Weighted<'a>> {
        let column = |resource: &ResourceSpec| {
            // The number of pods is a limit, nothing that is asked for.
            let id = snapshot.resource_id(&resource.name).filter(|id| *id != PODS)?;
            let amount = pod.scoring.get(&resource.name);
            if amount == 0 && is_scalar(&resource.name) {
                return None;
            }
            let column = snapshot.resource(id);
            Some(Weighted {
                allocatable: &column.allocatable,
                requested: if id == CPU || id == MEMORY { snapshot.non_zero_requested(id) } else { &column.requested },
                pod: amount,
                weight: resource.weight,
            })
        };
        self.resources.iter().filter_map(column).collect()
    }

    /// The score of a node from 0 to 100.
    pub(crate) fn score(&self, resources: &[Weighted<'_>], row: Row) -> i64 {
        let row = row as usize;
        let (mut sum, mut weights) = (0, 0);
        for resource in resources {
            let capacity = resource.allocatable[row];
            if capacity == 0 {
                continue;
            }
            let requested = resource.requested[row] + resource.pod;
            let score = match &self.strategy {
                Strategy::Least if requested > capacity => 0,
                Strategy::Least => share(capacity - requested, capacity),
                Strategy::Most => share(requested.min(capacity), capacity),
                Strategy::Shape(points) => {
                    let utilization = if requested > capacity { MAX_UTILIZATION } else { share(requested, capacity) };
                    let score = interpolate(points, utilization);
                    if score == 0 {
                        continue;
                    }
                    score
                }
            };
            sum += score * resource.weight;
            weights += resource.weight;
        }
        match (&self.strategy, weights) {
            (_, 0) => 0,
            (Strategy::Shape(_), weights) => rounded(sum, weights),
            (_, weights) => sum / weights,
        }
    }
}

/// `part` of `whole` in hundredths, rounded down, without overflow for whole numbers of bytes of any size.
fn share(part: i64, whole: i64) -> i64 {
    match part.checked_mul(MAX_NODE_SCORE) {
        Some(product) => product / whole,
        None => i64::try_from(i128::from(part) * i128::from(MAX_NODE_SCORE) / i128::from(whole)).unwrap_or(0),
    }
}

/// The quotient of two numbers that are not negative, rounded to the nearest, half upwards.
fn rounded(sum: i64, weights: i64) -> i64 {
    (2 * sum + weights) / (2 * weights)
}

fn interpolate(points: &[(i64, i64)], utilization: i64) -> i64 {
    for (place, &(at, score)) in points.iter().enumerate() {
        if utilization <= at {
            let Some(&(before, from)) = place.checked_sub(1).and_then(|place| points.get(place)) else {
                return score;
            };
            return from + (score - from) * (utilization - before) / (at - before);
        }
    }
    points.last().map_or(0, |(_, score)| *score)
}

fn shape(points: &[UtilizationShapePoint]) -> Result<Vec<(i64, i64)>, String> {
    let field = "requestedToCapacityRatio.shape";
    if points.is_empty() {
        return Err(format!("{field}: Required value: at least one point must be specified"));
    }
    for (place, point) in points.iter().enumerate() {
        let UtilizationShapePoint { utilization, score } = *point;
        if !(0..=MAX_UTILIZATION).contains(&utilization) {
            return Err(format!(
                "{field}[{place}].utilization: Invalid value: {utilization}: not in valid range [0-100]"
            ));
        }
        if !(0..=MAX_SHAPE_SCORE).contains(&score) {
            return Err(format!("{field}[{place}].score: Invalid value: {score}: not in valid range [0-10]"));
        }
        if place > 0 && points[place - 1].utilization >= utilization {
            return Err(format!(
                "{field}[{place}].utilization: Invalid value: {utilization}: utilization values must be sorted in increasing order"
            ));
        }
    }
    let scale = MAX_NODE_SCORE / MAX_SHAPE_SCORE;
    Ok(points.iter().map(|point| (point.utilization, point.score * scale)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_straight_between_their_points() {
        let points = [(0, 0), (50, 100), (100, 20)];
        let check = |utilization, expect| assert_eq!(interpolate(&points, utilization), expect);
        check(0, 0);
        check(25, 50);
        check(50, 100);
        check(75, 60);
        check(100, 20);
        assert_eq!(interpolate(&[(10, 90), (70, 10)], 5), 90);
        assert_eq!(interpolate(&[(10, 90), (70, 10)], 80), 10);
    }

    #[test]
    fn strategies_score_what_the_node_would_have_left() {
        let check = |strategy: Strategy, (requested, capacity): (i64, i64), expect: i64| {
            let scorer = ResourceScorer { strategy, resources: Vec::new() };
            let (allocatable, requested) = ([capacity, 1000], [requested, 250]);
            let column = |weight, row: usize| Weighted {
                allocatable: &allocatable[row..],
                requested: &requested[row..],
                pod: 50,
                weight,
            };
            assert_eq!(scorer.score(&[column(1, 0), column(3, 1)], 0), expect);
        };
        // The second resource is 30 % used and counts three times.
        check(Strategy::Least, (150, 1000), (80 + 3 * 70) / 4);
        check(Strategy::Least, (980, 1000), (3 * 70) / 4);
        check(Strategy::Least, (0, 0), 70);
        check(Strategy::Most, (150, 1000), (20 + 3 * 30) / 4);
        check(Strategy::Most, (980, 1000), (100 + 3 * 30) / 4);
        // 30 % gives 60; the other gives nothing and is left out.
        let shape = || Strategy::Shape(vec![(0, 0), (50, 100), (100, 0)]);
        check(shape(), (980, 1000), 60);
        check(shape(), (200, 1000), 58);
    }

    #[test]
    fn faulty_shapes_and_weights_are_refused() {
        let point = |utilization, score| UtilizationShapePoint { utilization, score };
        assert!(shape(&[]).is_err());
        assert!(shape(&[point(50, 1), point(50, 2)]).is_err());
        assert!(shape(&[point(101, 1)]).is_err());
        assert!(shape(&[point(1, 11)]).is_err());
        let weight = |weight| resources_or_default(vec![ResourceSpec { name: "cpu".to_owned(), weight }]);
        assert!(weight(101).is_err());
        assert_eq!(weight(0).unwrap()[0].weight, 1);
    }
}
