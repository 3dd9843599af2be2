//! What single plugins are configured with: an `AdmissionConfiguration`, as kube-apiserver takes it with
//! `--admission-control-config-file`. Source: `apiserver.config.k8s.io/v1`; Kubernetes doc "Admission Control in Kubernetes".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::image_policy::ImagePolicy;

/// Reads a file that a configuration names.
type Read<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// The configurations of single plugins.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    plugins: BTreeMap<String, Value>,
    pub(super) image_policy: Option<ImagePolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plugin {
    name: String,
    #[serde(default)]
    path: String,
    configuration: Option<Value>,
}

impl Configuration {
    /// Reads an `AdmissionConfiguration`, YAML or JSON. `read` reads the files that it names.
    ///
    /// # Errors
    /// If it is none, or a file cannot be read; the text names the plugin.
    pub fn from_yaml(text: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<Self, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let known = matches!(file.api_version.as_str(), "apiserver.config.k8s.io/v1" | "apiserver.k8s.io/v1alpha1");
        if !known || file.kind != "AdmissionConfiguration" {
            let File { api_version, kind, .. } = file;
            return Err(format!(
                "expected an AdmissionConfiguration of apiserver.config.k8s.io/v1, found a {kind:?} of {api_version:?}"
            ));
        }
        let mut all = Self::default();
        for plugin in file.plugins {
            let named = |why: String| format!("plugin {:?}: {why}", plugin.name);
            let configuration = match (plugin.configuration, plugin.path.as_str()) {
                (Some(configuration), _) => configuration,
                (None, "") => continue,
                (None, path) => {
                    let text = read(path).map_err(named)?;
                    serde_saphyr::from_str(&text).map_err(|error| named(error.to_string()))?
                }
            };
            if plugin.name == super::image_policy::NAME {
                all.image_policy = Some(ImagePolicy::read(&configuration, &read).map_err(named)?);
            }
            if all.plugins.insert(plugin.name.clone(), configuration).is_some() {
                return Err(named("it is configured twice".to_owned()));
            }
        }
        Ok(all)
    }

    /// What a plugin is configured with, if it is; `group` and `kind` are those of its configuration.
    pub(super) fn of<T: DeserializeOwned>(
        &self,
        plugin: &str,
        (group, kind): (&str, &str),
    ) -> Result<Option<T>, String> {
        let Some(value) = self.plugins.get(plugin) else { return Ok(None) };
        let named = |why: String| format!("admission plugin {plugin:?}: {why}");
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        if text("kind") != kind || text("apiVersion").rsplit_once('/').map(|(group, _)| group) != Some(group) {
            let (kind_found, found) = (text("kind"), text("apiVersion"));
            return Err(named(format!("expected a {kind} of {group}, found a {kind_found:?} of {found:?}")));
        }
        T::deserialize(value).map(Some).map_err(|error| named(error.to_string()))
    }
}

/// Bytes that a kubeconfig has in itself or in a file.
pub(super) fn data(of: &Value, (field, read): (&str, Read<'_>)) -> Result<Option<String>, String> {
    let text = |field: &str| of.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text(&format!("{field}-data")), text(field)) {
        (Some(encoded), _) => {
            let decoded = crate::authentication::decode_base64(encoded).and_then(|bytes| String::from_utf8(bytes).ok());
            decoded.map(Some).ok_or_else(|| format!("{field}-data is no text in base64"))
        }
        (None, Some(path)) => read(path).map(Some),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_configured_in_one_file_or_in_several() {
        let text = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  path: limits.yaml
- name: PodTolerationRestriction
  configuration: {apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration}
";
        let read = |path: &str| match path {
            "limits.yaml" => {
                Ok("apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\n".to_owned())
            }
            other => Err(format!("there is no {other}")),
        };
        let all = Configuration::from_yaml(text, read).unwrap();
        let place = ("eventratelimit.admission.k8s.io", "Configuration");
        assert!(all.of::<Value>("EventRateLimit", place).unwrap().is_some());
        assert!(all.of::<Value>("PodSecurity", place).unwrap().is_none());
        let why = all.of::<Value>("PodTolerationRestriction", place).unwrap_err();
        assert!(why.contains("expected a Configuration of eventratelimit.admission.k8s.io, found"), "{why}");
        for (text, expect) in [
            ("apiVersion: v1\nkind: Pod", "found a \"Pod\" of \"v1\""),
            (&text.replace("limits.yaml", "x"), "plugin \"EventRateLimit\": there is no x"),
            (&text.replace("PodTolerationRestriction", "EventRateLimit"), "it is configured twice"),
            (&text.replace("  path:", "  file:"), "unknown field"),
        ] {
            let why = Configuration::from_yaml(text, read).unwrap_err();
            assert!(why.contains(expect), "{why}");
        }
    }
}
