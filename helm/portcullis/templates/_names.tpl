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
{{- toYaml (dict "app.kubernetes.io/name" (include "portcullis.name" .) "app.kubernetes.io/instance" .Release.Name) -}}
{{- end -}}

{{/* The labels of every object. */}}
{{- define "portcullis.labels" -}}
{{- include "portcullis.labelsWith" (list . dict) -}}
{{- end -}}

{{/* Those of an object that has more of its own, (list . MORE). A label stands once, whoever names it. */}}
{{- define "portcullis.labelsWith" -}}
{{- $labels := include "portcullis.podLabels" . | fromYaml -}}
{{- toYaml (mergeOverwrite (dict "helm.sh/chart" (include "portcullis.chart" (index . 0))) $labels) -}}
{{- end -}}

{{- define "portcullis.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- end -}}

{{/*
The labels of pods, (list . MORE). The version of the chart is not among them: a chart that changes nothing about the pods
leaves them alone.
*/}}
{{- define "portcullis.podLabels" -}}
{{- $root := index . 0 -}}
{{- $own := dict "app.kubernetes.io/version" $root.Chart.AppVersion "app.kubernetes.io/managed-by" $root.Release.Service "app.kubernetes.io/part-of" "portcullis" -}}
{{- $selector := include "portcullis.selectorLabels" $root | fromYaml -}}
{{- toYaml (mergeOverwrite $own $root.Values.commonLabels (index . 1) $selector) -}}
{{- end -}}

{{/* The pod of `helm test` is none of those that are asked. */}}
{{- define "portcullis.testLabels" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . | trunc 58 | trimSuffix "-" }}-test
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

{{- define "portcullis.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The host name of the Service. */}}
{{- define "portcullis.host" -}}
{{- printf "%s.%s.svc" (include "portcullis.fullname" .) (include "portcullis.namespace" .) -}}
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
