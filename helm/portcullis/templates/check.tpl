{{- /* Makes no object: values that do not go together, each with what to write instead. The types are for values.schema.json. */ -}}

{{- $values := .Values -}}
{{- if include "portcullis.runs" . -}}
  {{- $needed := add (int64 $values.drain.delayMs) (int64 $values.drain.ms) -}}
  {{- if ge $needed (mul 1000 (int64 $values.terminationGracePeriodSeconds)) -}}
    {{- fail (printf "terminationGracePeriodSeconds: %d s end before drain.delayMs and drain.ms do, which are %d ms together. Make it longer, or them shorter" (int64 $values.terminationGracePeriodSeconds) $needed) -}}
  {{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- if include "portcullis.network" . }}{{ $ports = append $ports (int $values.ports.grpc) }}{{ end -}}
{{- if include "portcullis.http" . }}{{ $ports = append $ports (int $values.ports.http) }}{{ end -}}
{{- if and (eq $values.mode "sidecar") (int $values.sidecar.loopbackPort) }}{{ $ports = append $ports (int $values.sidecar.loopbackPort) }}{{ end -}}
{{- if $values.policies.gitSync.enabled }}{{ $ports = append $ports (int $values.policies.gitSync.httpPort) }}{{ end -}}
{{- if ne (len $ports) ($ports | uniq | len) -}}
  {{- fail (printf "ports: two listeners of a pod would have one port, of %s. Make ports.grpc, ports.http, sidecar.loopbackPort and policies.gitSync.httpPort differ" (join ", " $ports)) -}}
{{- end -}}
{{- if and $values.tokens.secretName (eq $values.mode "sidecar") -}}
  {{- fail "tokens.secretName: a sidecar asks for no token. Say who may connect with socket.allowedUids" -}}
{{- end -}}
{{- if and $values.tls.enabled (eq $values.mode "sidecar") -}}
  {{- fail "tls.enabled: a sidecar listens on its pod's socket and loopback alone, which need no TLS. Leave it false" -}}
{{- end -}}
{{- if and $values.tls.enabled (include "portcullis.runs" .) (not (include "portcullis.network" .)) -}}
  {{- fail "tls.enabled: nothing listens on the network with daemonset.network false, and a socket needs no TLS. Leave it false" -}}
{{- end -}}
{{- if and (include "portcullis.http" .) (or (hasPrefix "127." $values.listenAddress) (eq $values.listenAddress "[::1]")) -}}
  {{- fail "listenAddress: nobody reaches a loopback address of the pod, the probes neither. Use 0.0.0.0 or [::]" -}}
{{- end -}}
{{- $amounts := $values.resources | default dict -}}
{{- if and (eq $values.mode "deployment") $values.autoscaling.enabled (not (or (dig "requests" "cpu" "" $amounts) (dig "limits" "cpu" "" $amounts))) -}}
  {{- fail "autoscaling.enabled: the processor use is measured against what is requested. Set resources.requests.cpu" -}}
{{- end -}}
{{- if and $values.tokens.secretName (include "portcullis.network" .) (not (include "portcullis.tls" .)) -}}
  {{- fail "tokens.secretName: tokens would go over the network in plain text. Set tls.enabled" -}}
{{- end -}}
{{- if and $values.tls.clientCA.enabled (not $values.tls.enabled) -}}
  {{- fail "tls.clientCA.enabled: callers show certificates over TLS only. Set tls.enabled" -}}
{{- end -}}
{{- if and $values.tls.clientCA.secretName $values.tls.clientCA.configMapName -}}
  {{- fail "tls.clientCA: name a Secret or a ConfigMap, not both" -}}
{{- end -}}
{{- if and $values.tls.revocationList.secretName (not $values.tls.clientCA.enabled) -}}
  {{- fail "tls.revocationList.secretName: certificates of callers are revoked, and none are asked for. Set tls.clientCA.enabled" -}}
{{- end -}}
{{- if and $values.tls.certManager.enabled (not $values.tls.enabled) -}}
  {{- fail "tls.certManager.enabled: nothing would use the certificate. Set tls.enabled" -}}
{{- end -}}
{{- if and $values.tls.certManager.enabled (not (get $values.tls.certManager.issuerRef "name")) -}}
  {{- fail "tls.certManager.issuerRef: name the issuer, such as {name: internal, kind: ClusterIssuer}" -}}
{{- end -}}
{{- if and (include "portcullis.network" .) (not (include "portcullis.proof" .)) (not $values.allowPlaintextNetwork) -}}
  {{- fail "allowPlaintextNetwork is false, and callers prove nothing. Set tls.enabled with tls.clientCA.enabled or tokens.secretName" -}}
{{- end -}}
{{- if and (eq $values.mode "daemonset") (not $values.daemonset.network) (not $values.daemonset.hostPath) -}}
  {{- fail "daemonset: nobody could ask. Set daemonset.network or daemonset.hostPath" -}}
{{- end -}}
{{- with $values.daemonset -}}
  {{- if and (eq $values.mode "daemonset") .hostPath (not (has (dig "rollingUpdate" "maxSurge" 0 .updateStrategy | toString) (list "0" "0%"))) -}}
    {{- fail "daemonset.updateStrategy.rollingUpdate.maxSurge: the new pod of a node cannot have the socket while the old one has it, and the rollout would stand still. Leave it 0" -}}
  {{- end -}}
{{- end -}}
{{- if and (eq $values.audit.to "stdout") (eq $values.audit.mode "sync") -}}
  {{- fail "audit.mode: standard output cannot be put on a disk. Use `file` or `both` with `sync`, or another mode" -}}
{{- end -}}
{{- if and (eq $values.audit.mode "drop") (eq $values.audit.onFailure "deny") (ne $values.audit.to "none") -}}
  {{- fail "audit.onFailure: with audit.mode `drop` no answer waits for its record, so none can be denied for it. Use `block` or `sync`, or `allow`" -}}
{{- end -}}
{{- if and $values.audit.persistentVolumeClaim (not (has $values.audit.to (list "file" "both"))) -}}
  {{- fail "audit.persistentVolumeClaim: nothing is written there. Set audit.to to `file` or `both`" -}}
{{- end -}}
{{- if $values.monitoring.prometheusRule.without -}}
  {{- $alerts := list -}}
  {{- range (.Files.Get "alerts/portcullis.rules.yaml" | fromYaml).groups }}{{ range .rules }}{{ $alerts = append $alerts .alert }}{{ end }}{{ end -}}
  {{- range $values.monitoring.prometheusRule.without -}}
    {{- if not (has . $alerts) -}}
      {{- fail (printf "monitoring.prometheusRule.without: there is no alert %s. They are %s" . (join ", " $alerts)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $values.monitoring.serviceMonitor.enabled (not (include "portcullis.network" .)) -}}
  {{- fail "monitoring.serviceMonitor.enabled: there is no Service in this mode. Use monitoring.podMonitor" -}}
{{- end -}}
{{- if and $values.monitoring.podMonitor.enabled (not (include "portcullis.http" .)) -}}
  {{- fail "monitoring.podMonitor.enabled: sidecars serve no metrics. Set sidecar.http" -}}
{{- end -}}
{{- if and (include "portcullis.runs" .) $values.policies.gitSync.enabled $values.networkPolicy.enabled (not $values.networkPolicy.egress) -}}
  {{- fail "networkPolicy.egress: the pods may reach nothing, and policies.gitSync has to reach a repository. Give rules for it and for DNS" -}}
{{- end -}}
{{- if and (or $values.monitoring.serviceMonitor.enabled $values.monitoring.podMonitor.enabled) (include "portcullis.runs" .) $values.networkPolicy.enabled (not $values.networkPolicy.metricsFrom) -}}
  {{- fail "networkPolicy.metricsFrom: nobody may read the metrics that monitoring wants. Name the pods of Prometheus, as NetworkPolicy peers" -}}
{{- end -}}
