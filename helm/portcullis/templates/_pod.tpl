{{/* The pod of a Deployment or a DaemonSet. */}}

{{- define "portcullis.podTemplate" -}}
metadata:
  labels:
    {{- include "portcullis.podLabels" (list . .Values.podLabels) | nindent 4 }}
  annotations:
    # The checksum is equal on pods that run with the same settings. Policies are not in it: they change without a restart.
    {{- $own := dict "checksum/config" (include "portcullis.settings" . | sha256sum) "kubectl.kubernetes.io/default-container" "portcullis" }}
    {{- toYaml (mergeOverwrite $own (.Values.podAnnotations | default dict)) | nindent 4 }}
spec:
  serviceAccountName: {{ include "portcullis.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - {{ include "portcullis.container" . | nindent 6 | trim }}
    {{- if .Values.policies.gitSync.enabled }}
    - {{ include "portcullis.policies.gitContainer" . | nindent 6 | trim }}
    {{- end }}
    {{- if eq .Values.audit.to "both" }}
    - {{ include "portcullis.auditContainer" . | nindent 6 | trim }}
    {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "portcullis.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.mode "deployment" }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $constraint := deepCopy . }}
    {{- if not (hasKey $constraint "labelSelector") }}
    {{- $labels := include "portcullis.selectorLabels" $ | fromYaml }}
    {{- $constraint = set $constraint "labelSelector" (dict "matchLabels" $labels) }}
    {{- end }}
    - {{ toYaml $constraint | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* How pods are replaced; `rollingUpdate` comes from the defaults and is refused by the API with another type. */}}
{{- define "portcullis.strategy" -}}
{{- toYaml (ternary . (omit . "rollingUpdate") (eq .type "RollingUpdate")) -}}
{{- end -}}
