{{/*
What a service's own chart includes to have a sidecar. The chart names portcullis as a dependency, sets
`portcullis.mode: sidecar` and the policies, and its pod says

    spec:
      initContainers:
        {{- include "portcullis.sidecar.initContainer" . | nindent 8 }}
      containers:
        - name: orders
          volumeMounts:
            {{- include "portcullis.sidecar.volumeMount" . | nindent 12 }}
      volumes:
        {{- include "portcullis.sidecar.volumes" . | nindent 8 }}

The service then asks on /run/portcullis/pdp.sock. Each template takes the service's own scope; for a dependency with an
alias, give `.Subcharts.ALIAS`.
*/}}

{{/* The containers, as native sidecars: they start before the service and end after it. */}}
{{- define "portcullis.sidecar.initContainer" -}}
{{- $scope := get .Subcharts "portcullis" | default . -}}
{{- include "portcullis.sidecar.check" $scope -}}
{{- if semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "portcullis.sidecar.initContainer: Kubernetes %s has no native sidecars. Include portcullis.sidecar.container below `containers` instead" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- range $index, $container := include "portcullis.sidecar.containers" $scope | fromYamlArray -}}
{{- if $index }}{{ "\n" }}{{ end -}}
- {{ toYaml (set $container "restartPolicy" "Always") | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/*
The same for clusters before 1.29, below `containers`. The order is not kept there: until the sidecar has its policies the
service's questions fail, and at the end the sidecar answers on for `drain.delayMs`.
*/}}
{{- define "portcullis.sidecar.container" -}}
{{- $scope := get .Subcharts "portcullis" | default . -}}
{{- include "portcullis.sidecar.check" $scope -}}
{{- $delay := dict "name" "PORTCULLIS_DRAIN_DELAY_MS" "value" ($scope.Values.drain.delayMs | int64 | toString) -}}
{{- range $index, $container := include "portcullis.sidecar.containers" $scope | fromYamlArray -}}
{{- if $index }}{{ "\n" }}{{ end -}}
{{- if eq .name "portcullis" }}{{ $_ := set . "env" (append .env $delay) }}{{ end -}}
- {{ toYaml $container | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* The volumes of the pod. */}}
{{- define "portcullis.sidecar.volumes" -}}
{{- $scope := get .Subcharts "portcullis" | default . -}}
{{- include "portcullis.sidecar.check" $scope -}}
{{- include "portcullis.volumes" $scope -}}
{{- end -}}

{{/* The folder of the socket, for the service's own container. A socket on a read-only mount can be connected to. */}}
{{- define "portcullis.sidecar.volumeMount" -}}
- name: portcullis-socket
  mountPath: /run/portcullis
  readOnly: true
{{- end -}}

{{/* Not needed: the place of the socket as a variable, which `portcullis status` and its like read too. */}}
{{- define "portcullis.sidecar.env" -}}
- name: PORTCULLIS_SOCKET
  value: {{ include "portcullis.socket" . }}
{{- end -}}

{{- define "portcullis.sidecar.containers" -}}
{{- if .Values.policies.gitSync.enabled }}
- {{ include "portcullis.policies.gitContainer" . | nindent 2 | trim }}
{{- end }}
{{- /* They end in the opposite order: whoever copies records sees the last of them. */}}
{{- if eq .Values.audit.to "both" }}
- {{ include "portcullis.auditContainer" . | nindent 2 | trim }}
{{- end }}
- {{ include "portcullis.container" . | nindent 2 | trim }}
{{- end -}}

{{- define "portcullis.sidecar.check" -}}
{{- if ne .Values.mode "sidecar" -}}
{{- fail (printf "portcullis.mode is `%s`, and the chart includes a sidecar. Set portcullis.mode: sidecar" .Values.mode) -}}
{{- end -}}
{{- end -}}
