{{/* What ServiceMonitor and PodMonitor say alike: (list . VALUES PORT). */}}

{{- define "portcullis.endpoint" -}}
{{- $monitor := index . 1 -}}
port: {{ index . 2 }}
path: /metrics
interval: {{ $monitor.interval }}
scrapeTimeout: {{ $monitor.scrapeTimeout }}
{{- with $monitor.relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
