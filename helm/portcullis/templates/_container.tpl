{{/*
The container, once for every mode. Its settings are environment variables, so that a change of one changes the pod and
rolls out, while a change of policies, certificates or tokens does not: the process takes those up itself.
*/}}

{{/* The path of the Unix socket. */}}
{{- define "portcullis.socket" -}}
/run/portcullis/pdp.sock
{{- end -}}

{{/* Does the pod serve HTTP on its own address? Empty is no. */}}
{{- define "portcullis.http" -}}
{{- if or (include "portcullis.runs" .) .Values.sidecar.http }}yes{{ end -}}
{{- end -}}

{{/* Does it speak TLS, and do callers prove themselves? Empty is no. */}}
{{- define "portcullis.tls" -}}
{{- if and .Values.tls.enabled (include "portcullis.network" .) }}yes{{ end -}}
{{- end -}}
{{- define "portcullis.proof" -}}
{{- if and (include "portcullis.tls" .) (or .Values.tls.clientCA.enabled .Values.tokens.secretName) }}yes{{ end -}}
{{- end -}}

{{/* The user ids that may connect to the socket; with any, the probes of the container's own user are among them. */}}
{{- define "portcullis.allowedUids" -}}
{{- $uids := .Values.socket.allowedUids -}}
{{- if or $uids .Values.socket.allowedGids }}{{ $uids = append $uids .Values.securityContext.runAsUser | uniq }}{{ end -}}
{{- range $index, $uid := $uids }}{{ if $index }},{{ end }}{{ int64 $uid }}{{ end -}}
{{- end -}}

{{/* Settings that the chart decides, by name. */}}
{{- define "portcullis.settings" -}}
load_mode: {{ .Values.policies.loadMode | quote }}
poll_interval_ms: {{ .Values.policies.pollIntervalMs | int64 | quote }}
log: {{ .Values.log | quote }}
log_format: json
drain_ms: {{ .Values.drain.ms | int64 | quote }}
{{- if include "portcullis.runs" . }}
drain_delay_ms: {{ .Values.drain.delayMs | int64 | quote }}
listen: {{ ternary (printf "%s:%d" .Values.listenAddress (int .Values.ports.grpc)) "" (include "portcullis.network" . | eq "yes") | quote }}
{{- else }}
listen: {{ ternary (printf "127.0.0.1:%d" (int .Values.sidecar.loopbackPort)) "" (gt (int .Values.sidecar.loopbackPort) 0) | quote }}
{{- end }}
http_listen: {{ ternary (printf "%s:%d" .Values.listenAddress (int .Values.ports.http)) "" (include "portcullis.http" . | eq "yes") | quote }}
{{- if include "portcullis.hasSocket" . }}
uds: {{ include "portcullis.socket" . }}
uds_access: {{ default (ternary "group" "all" (include "portcullis.runs" . | eq "yes")) .Values.socket.access }}
{{- with include "portcullis.allowedUids" . }}
uds_allowed_uids: {{ . | quote }}
{{- end }}
{{- with .Values.socket.allowedGids }}
uds_allowed_gids: {{ range $index, $gid := . }}{{ if $index }},{{ end }}{{ int64 $gid }}{{ end }}
{{- end }}
{{- end }}
{{- if and (include "portcullis.network" .) (not (include "portcullis.proof" .)) }}
# Callers prove nothing; networkPolicy limits who they are.
allow_plaintext_network: "true"
{{- end }}
{{- if include "portcullis.tls" . }}
tls_certificate: /tls/tls.crt
tls_key: /tls/tls.key
{{- if .Values.tls.clientCA.enabled }}
tls_client_ca: /tls/client-ca.crt
{{- end }}
{{- if .Values.tls.revocationList.secretName }}
tls_client_crl: /tls/client.crl
{{- end }}
{{- end }}
{{- if .Values.tokens.secretName }}
token_file: /tokens/{{ .Values.tokens.key }}
{{- end }}
{{- if ne .Values.audit.to "none" }}
audit_file: {{ ternary "-" "/audit/$(POD_NAME).jsonl" (eq .Values.audit.to "stdout") | quote }}
audit_mode: {{ .Values.audit.mode }}
on_audit_failure: {{ .Values.audit.onFailure }}
{{- end }}
{{- if .Values.state.enabled }}
state_directory: /state
{{- end }}
{{- range $name, $value := .Values.config }}
{{ $name }}: {{ ternary (int64 (ternary $value 0 (kindIs "float64" $value))) $value (kindIs "float64" $value) | toString | quote }}
{{- end }}
{{- end -}}

{{- define "portcullis.env" -}}
{{- $settings := include "portcullis.settings" . | fromYaml -}}
{{- if contains "$(POD_NAME)" (get $settings "audit_file" | default "") }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- range $name, $value := $settings }}
- name: PORTCULLIS_{{ upper $name }}
  value: {{ $value | quote }}
{{- end }}
{{- if include "portcullis.hasSocket" . }}
# Where `portcullis status` asks, for whoever runs it in this container.
{{ include "portcullis.sidecar.env" . }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A probe, (list . NAME PATH COMMAND): over HTTP where the pod serves it, else the binary over the socket. */}}
{{- define "portcullis.probe" -}}
{{- $root := index . 0 -}}
{{- $probe := index $root.Values.probes (index . 1) -}}
{{- if include "portcullis.http" $root }}
httpGet:
  path: {{ index . 2 }}
  port: {{ include "portcullis.httpPortName" $root }}
{{- else }}
exec:
  command: [/portcullis, {{ index . 3 }}, --uds, {{ include "portcullis.socket" $root }}]
{{- end }}
{{ toYaml $probe }}
{{- end -}}

{{/* Names of ports; a sidecar's must not meet those of its service. */}}
{{- define "portcullis.httpPortName" -}}
{{- ternary "http" "portcullis-http" (include "portcullis.runs" . | eq "yes") -}}
{{- end -}}

{{- define "portcullis.container" -}}
name: portcullis
image: {{ include "portcullis.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - serve
  - {{ include "portcullis.policies.directory" . }}
  {{- with .Values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  {{- include "portcullis.env" . | trim | nindent 2 }}
{{- $ports := or (include "portcullis.network" .) (include "portcullis.http" .) }}
{{- if $ports }}
ports:
  {{- if include "portcullis.network" . }}
  - name: grpc
    containerPort: {{ .Values.ports.grpc }}
  {{- end }}
  {{- if include "portcullis.http" . }}
  - name: {{ include "portcullis.httpPortName" . }}
    containerPort: {{ .Values.ports.http }}
  {{- end }}
{{- end }}
startupProbe:
  {{- $sidecar := not (include "portcullis.runs" .) }}
  {{- include "portcullis.probe" (list . "startup" (ternary "/readyz" "/livez" $sidecar) "healthcheck") | trim | nindent 2 }}
readinessProbe:
  {{- include "portcullis.probe" (list . "readiness" "/readyz" "healthcheck") | trim | nindent 2 }}
# Without policies the process lives but is not ready.
livenessProbe:
  {{- include "portcullis.probe" (list . "liveness" "/livez" "status") | trim | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml (ternary .Values.sidecar.resources .Values.resources $sidecar) | nindent 2 }}
volumeMounts:
  {{- include "portcullis.policies.mounts" . | trim | nindent 2 }}
  {{- if include "portcullis.hasSocket" . }}
  - name: portcullis-socket
    mountPath: /run/portcullis
  {{- end }}
  {{- if include "portcullis.tls" . }}
  - name: portcullis-tls
    mountPath: /tls
    readOnly: true
  {{- end }}
  {{- if .Values.tokens.secretName }}
  - name: portcullis-tokens
    mountPath: /tokens
    readOnly: true
  {{- end }}
  {{- if has .Values.audit.to (list "file" "both") }}
  - name: portcullis-audit
    mountPath: /audit
  {{- end }}
  {{- if .Values.state.enabled }}
  - name: portcullis-state
    mountPath: /state
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
Copies the audit file to standard output, for collectors of logs. It has no probes: it serves nobody, and it ends, to be
started again, when it cannot read or write. What it has not copied yet is in the file.
*/}}
{{- define "portcullis.auditContainer" -}}
name: portcullis-audit
image: {{ include "portcullis.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - audit
  - tail
  - --follow
  - --output=json
  - --lines={{ int64 .Values.audit.copyLines }}
  # Until the process has recorded its own end.
  - --linger-ms={{ add (int64 .Values.drain.delayMs) (int64 .Values.drain.ms) }}
  - /audit/$(POD_NAME).jsonl
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.audit.copyResources | nindent 2 }}
volumeMounts:
  - name: portcullis-audit
    mountPath: /audit
    readOnly: true
{{- end -}}

{{/* All volumes of the containers above. */}}
{{- define "portcullis.volumes" -}}
{{ include "portcullis.policies.volumes" . | trim }}
{{- if eq .Values.mode "sidecar" }}
# In memory: whoever mounts it can neither fill a disk with it nor, as the folder is sticky, take away the socket.
- name: portcullis-socket
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.sidecar.socketSizeLimit }}
{{- else if include "portcullis.hasSocket" . }}
- name: portcullis-socket
  hostPath:
    path: {{ .Values.daemonset.hostPath }}
    type: Directory
{{- end }}
{{- if include "portcullis.tls" . }}
{{- $secret := include "portcullis.tlsSecretName" . }}
{{- $clientCA := .Values.tls.clientCA }}
# One volume, so that a certificate and its key change together.
- name: portcullis-tls
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ $secret }}
          items:
            - key: tls.crt
              path: tls.crt
            - key: tls.key
              path: tls.key
      {{- if $clientCA.enabled }}
      - {{ ternary "configMap" "secret" (ne $clientCA.configMapName "") }}:
          name: {{ default (default $secret $clientCA.secretName) $clientCA.configMapName }}
          items:
            - key: {{ $clientCA.key }}
              path: client-ca.crt
      {{- end }}
      {{- with .Values.tls.revocationList }}
      {{- if .secretName }}
      - secret:
          name: {{ .secretName }}
          items:
            - key: {{ .key }}
              path: client.crl
      {{- end }}
      {{- end }}
{{- end }}
{{- with .Values.tokens }}
{{- if .secretName }}
- name: portcullis-tokens
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: {{ .key }}
{{- end }}
{{- end }}
{{- with .Values.audit }}
{{- if has .to (list "file" "both") }}
- name: portcullis-audit
  {{- if .persistentVolumeClaim }}
  persistentVolumeClaim:
    claimName: {{ .persistentVolumeClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .sizeLimit }}
  {{- end }}
{{- end }}
{{- end }}
{{- with .Values.state }}
{{- if .enabled }}
- name: portcullis-state
  emptyDir:
    sizeLimit: {{ .sizeLimit }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "portcullis.tlsSecretName" -}}
{{- if .Values.tls.secretName -}}
{{- .Values.tls.secretName -}}
{{- else if .Values.tls.certManager.enabled -}}
{{- include "portcullis.nameOf" (list . "tls") -}}
{{- else -}}
{{- fail "tls.enabled: name a Secret in tls.secretName, or let cert-manager make one with tls.certManager" -}}
{{- end -}}
{{- end -}}
