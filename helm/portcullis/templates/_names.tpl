{{/* Names and labels. */}}

{{- define "portcullis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portcullis.fullname" -}}
{{- $name := include "portcullis.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of an object that belongs to the release: (list . "policies"). */}}
{{- define "portcullis.nameOf" -}}
{{- $suffix := index . 1 -}}
{{- $fullname := include "portcullis.fullname" (index . 0) -}}
{{- printf "%s-%s" ($fullname | trunc (sub 62 (len $suffix) | int) | trimSuffix "-") $suffix -}}
{{- end -}}

{{- define "portcullis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "portcullis.labels" -}}
{{ include "portcullis.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: portcullis
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The pod of `helm test` is none of those that are asked. */}}
{{- define "portcullis.testLabels" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "portcullis.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "portcullis.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "portcullis.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The host name of the Service. */}}
{{- define "portcullis.host" -}}
{{- printf "%s.%s.svc" (include "portcullis.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* Are there pods of the release's own, and do callers reach them over the network? Empty is no. */}}
{{- define "portcullis.runs" -}}
{{- if not .Values.mode -}}
{{- fail "mode is missing: --reuse-values leaves out what an earlier chart did not have. Use --reset-then-reuse-values" -}}
{{- end -}}
{{- if ne .Values.mode "sidecar" }}yes{{ end -}}
{{- end -}}
{{- define "portcullis.network" -}}
{{- if or (eq .Values.mode "deployment") (and (eq .Values.mode "daemonset") .Values.daemonset.network) }}yes{{ end -}}
{{- end -}}
{{- define "portcullis.hasSocket" -}}
{{- if or (eq .Values.mode "sidecar") (and (eq .Values.mode "daemonset") .Values.daemonset.hostPath) }}yes{{ end -}}
{{- end -}}
