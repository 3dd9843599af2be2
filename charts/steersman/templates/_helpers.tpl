{{- define "steersman.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters, so that the names of the components fit as well. */}}
{{- define "steersman.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "steersman.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "steersman.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "steersman.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Call with (dict "root" $ "component" "controllers"). */}}
{{- define "steersman.selector" -}}
app.kubernetes.io/name: {{ include "steersman.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "steersman.labels" -}}
{{ include "steersman.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: steersman
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "steersman.schedulerName" -}}
{{- eq .Values.scheduler.mode "default" | ternary "default-scheduler" .Values.scheduler.name }}
{{- end }}

{{/* The names of the definitions that the release brings, separated by spaces. */}}
{{- define "steersman.definitions" -}}
{{- $controllers := .Values.controllers.enabled | ternary .Values.controllers.names list }}
{{- $plugins := .Values.scheduler.enabled | ternary .Values.scheduler.plugins list }}
{{- $found := list }}
{{- $ofWorkloads := or (has "deployment-controller" $controllers) (has "replicaset-controller" $controllers) }}
{{- if and $ofWorkloads (eq .Values.workloads.apiGroup "apps.steersman.dev") }}
{{- $found = list "deployments.apps.steersman.dev" "replicasets.apps.steersman.dev" }}
{{- end }}
{{- /* Plugins read them, and controllers keep their status. */}}
{{- if or (has "CapacityScheduling" $plugins) (has "elasticquota-controller" $controllers) }}
{{- $found = append $found "elasticquotas.scheduling.x-k8s.io" }}
{{- end }}
{{- if or (has "Coscheduling" $plugins) (has "podgroup-controller" $controllers) }}
{{- $found = append $found "podgroups.scheduling.x-k8s.io" }}
{{- end }}
{{- .Values.crds.install | ternary (join " " $found) "" }}
{{- end }}

{{/* The flags that both components have. Call with (dict "root" $ "component" … "values" … "port" …). */}}
{{- define "steersman.flags" -}}
{{- $root := .root -}}
- --bind-address=0.0.0.0
- --port={{ .port }}
- --leader-elect=true
- --leader-elect-lease-duration={{ $root.Values.leaderElection.leaseDuration }}
- --leader-elect-renew-deadline={{ $root.Values.leaderElection.renewDeadline }}
- --leader-elect-retry-period={{ $root.Values.leaderElection.retryPeriod }}
- --leader-elect-resource-name={{ include "steersman.fullname" $root }}-{{ .component }}
- --leader-elect-resource-namespace={{ $root.Release.Namespace }}
- --log-format={{ $root.Values.log.format }}
{{- with $root.Values.log.verbosity }}
- --v={{ . }}
{{- end }}
{{- with .values.qps }}
- --kube-api-qps={{ . }}
{{- end }}
{{- with .values.burst }}
- --kube-api-burst={{ . }}
{{- end }}
{{- range .values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* A pod of a component. Call with (dict "root" $ "component" … "values" … "port" … "args" … "config" …). */}}
{{- define "steersman.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "steersman.labels" . | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .component }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "steersman.fullname" $root }}-{{ .component }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: {{ .component }}
      image: {{ include "steersman.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command:
        - /usr/local/bin/steersman-{{ .component }}
      args:
        {{- .args | trim | nindent 8 }}
        {{- include "steersman.flags" . | nindent 8 }}
      {{- with .values.env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: {{ .port }}
      startupProbe:
        httpGet: {path: /livez, port: metrics}
        periodSeconds: 2
        failureThreshold: 30
      livenessProbe:
        httpGet: {path: /livez, port: metrics}
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        periodSeconds: 5
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      {{- if .config }}
      volumeMounts:
        - name: configuration
          mountPath: /etc/steersman
          readOnly: true
      {{- end }}
  {{- if .config }}
  volumes:
    - name: configuration
      configMap:
        name: {{ .config }}
  {{- end }}
  affinity:
    {{- if .values.affinity }}
    {{- toYaml .values.affinity | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "steersman.selector" . | nindent 16 }}
    {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
