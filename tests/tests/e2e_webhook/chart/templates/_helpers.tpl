{{- define "policy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "policy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "policy.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "policy.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "policy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "policy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end -}}

{{- define "policy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "policy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.global.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "policy.serviceAccountName" -}}
{{- ternary (default (include "policy.fullname" .) .Values.serviceAccount.name) (default "default" .Values.serviceAccount.name) .Values.serviceAccount.create -}}
{{- end -}}

{{- define "policy.image" -}}
{{- printf "%s/%s:%s" .Values.image.registry .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* The same authority for all templates of a release, and for its later revisions. */}}
{{- define "policy.certificates" -}}
{{- if not (hasKey .Values.webhook "made") -}}
{{- $service := printf "%s-webhook" (include "policy.fullname" .) -}}
{{- $kept := lookup "v1" "Secret" .Release.Namespace (printf "%s-tls" $service) -}}
{{- if $kept -}}
{{- $_ := set .Values.webhook "made" $kept.data -}}
{{- else -}}
{{- $days := int .Values.webhook.certificateDays -}}
{{- $authority := genCA (printf "%s-ca" $service) $days -}}
{{- $host := printf "%s.%s.svc" $service .Release.Namespace -}}
{{- $names := list $host (printf "%s.cluster.local" $host) (printf "%s.%s" $service .Release.Namespace) -}}
{{- $leaf := genSignedCert $host nil $names $days $authority -}}
{{- $_ := set .Values.webhook "made" (dict "ca.crt" (b64enc $authority.Cert) "tls.crt" (b64enc $leaf.Cert) "tls.key" (b64enc $leaf.Key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "policy.clientConfig" -}}
{{- include "policy.certificates" .root -}}
caBundle: {{ index .root.Values.webhook.made "ca.crt" }}
service:
  name: {{ include "policy.fullname" .root }}-webhook
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: {{ .root.Values.service.port }}
{{- end -}}

{{- define "policy.matching" -}}
admissionReviewVersions: [v1, v1beta1]
sideEffects: None
matchPolicy: Equivalent
namespaceSelector:
  matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
    {{- toYaml (append .Values.webhook.exemptNamespaces .Release.Namespace) | nindent 4 }}
  - key: policy.example.com/ignore
    operator: DoesNotExist
objectSelector:
  matchExpressions:
  - {key: policy.example.com/ignore, operator: DoesNotExist}
{{- with .Values.webhook.matchConditions }}
matchConditions:
{{- toYaml . | nindent 0 }}
{{- end }}
rules:
- apiGroups: [apps]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [deployments, statefulsets, daemonsets]
  scope: Namespaced
{{- end -}}
