{{/*
Where policies come from. One source alone is mounted as the policy directory itself, so that the files have the names,
and the policy set the revision, that `portcullis check` gives them before they are deployed. Several are folders of it.
Every mount is a directory: what is mounted with a subPath never sees a change.
*/}}

{{/* All sources, a list of: name, volume (as the API takes it), path (the folder in it that counts). */}}
{{- define "portcullis.policies.all" -}}
{{- $policies := .Values.policies -}}
{{- $sources := list -}}
{{- if $policies.inline -}}
{{- $map := dict "name" (include "portcullis.nameOf" (list . "policies")) -}}
{{- $sources = append $sources (dict "name" "inline" "volume" (dict "configMap" $map)) -}}
{{- end -}}
{{- $configMaps := concat (ternary (list $policies.configMap) (list) (ne $policies.configMap "")) $policies.configMaps -}}
{{- range $configMaps | uniq -}}
{{- $sources = append $sources (dict "name" (printf "configmap-%s" .) "volume" (dict "configMap" (dict "name" .))) -}}
{{- end -}}
{{- range $policies.secrets | uniq -}}
{{- $sources = append $sources (dict "name" (printf "secret-%s" .) "volume" (dict "secret" (dict "secretName" .))) -}}
{{- end -}}
{{- with $policies.persistentVolumeClaim -}}
{{- if .name -}}
{{- $claim := dict "claimName" .name "readOnly" true -}}
{{- $sources = append $sources (dict "name" "volume" "path" .path "volume" (dict "persistentVolumeClaim" $claim)) -}}
{{- end -}}
{{- end -}}
{{- with $policies.gitSync -}}
{{- if .enabled -}}
{{- $sources = append $sources (dict "name" "git" "path" .path "volume" (dict "emptyDir" (dict "sizeLimit" .sizeLimit))) -}}
{{- end -}}
{{- end -}}
{{- with $policies.image -}}
{{- if .reference -}}
{{- $image := dict "reference" .reference "pullPolicy" .pullPolicy -}}
{{- $sources = append $sources (dict "name" "image" "path" .path "volume" (dict "image" $image)) -}}
{{- end -}}
{{- end -}}
{{- range $sources -}}
{{- if and (get . "path") (gt (len $sources) 1) -}}
{{- fail (printf "policies: a path can be given only to the one source, and there are %d. Leave the path of `%s` empty, or the other sources" (len $sources) .name) -}}
{{- end -}}
{{- end -}}
{{- toYaml $sources -}}
{{- end -}}

{{/* Is there any source? Empty is no. */}}
{{- define "portcullis.policies.any" -}}
{{- if include "portcullis.policies.all" . | fromYamlArray }}yes{{ end -}}
{{- end -}}

{{/* The sources, of which there must be one. */}}
{{- define "portcullis.policies.sources" -}}
{{- if not (include "portcullis.policies.any" .) -}}
{{- fail "policies: there are none. Set policies.inline, policies.configMap, policies.configMaps, policies.secrets, policies.persistentVolumeClaim.name, policies.gitSync or policies.image" -}}
{{- end -}}
{{- include "portcullis.policies.all" . -}}
{{- end -}}

{{/* The directory that is served. */}}
{{- define "portcullis.policies.directory" -}}
{{- $sources := include "portcullis.policies.sources" . | fromYamlArray -}}
{{- $directory := "/policies" -}}
{{- if eq (len $sources) 1 -}}
{{- $source := first $sources -}}
{{- /* git-sync leads the link `current` to the newest commit in one step. */ -}}
{{- if eq $source.name "git" }}{{ $directory = "/policies/current" }}{{ end -}}
{{- with get $source "path" }}{{ $directory = printf "%s/%s" $directory (trimAll "/" .) }}{{ end -}}
{{- end -}}
{{- $directory -}}
{{- end -}}

{{/* The volume of a source, (list SOURCES INDEX): names of sources are longer than those of volumes may be. */}}
{{- define "portcullis.policies.volume" -}}
{{- ternary "portcullis-policies" (printf "portcullis-policies-%d" (index . 1)) (eq (len (index . 0)) 1) -}}
{{- end -}}

{{- define "portcullis.policies.mounts" -}}
{{- $sources := include "portcullis.policies.sources" . | fromYamlArray -}}
{{- range $index, $source := $sources }}
- name: {{ include "portcullis.policies.volume" (list $sources $index) }}
  mountPath: {{ ternary "/policies" (printf "/policies/%s" $source.name) (eq (len $sources) 1) }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "portcullis.policies.volumes" -}}
{{- $sources := include "portcullis.policies.sources" . | fromYamlArray -}}
{{- range $index, $source := $sources }}
- name: {{ include "portcullis.policies.volume" (list $sources $index) }}
  {{- toYaml $source.volume | nindent 2 }}
{{- end }}
{{- with .Values.policies.gitSync }}
{{- if .enabled }}
- name: portcullis-git-tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .secretName }}
- name: portcullis-git-secret
  secret:
    secretName: {{ . }}
    # Only git-sync mounts it, and the pod of a sidecar may have no fsGroup.
    defaultMode: 0444
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The container that follows a git repository. */}}
{{- define "portcullis.policies.gitContainer" -}}
{{- $git := .Values.policies.gitSync -}}
{{- if not $git.repo }}{{ fail "policies.gitSync.repo: name the repository" }}{{ end -}}
{{- $volume := "" -}}
{{- $sources := include "portcullis.policies.sources" . | fromYamlArray -}}
{{- range $index, $source := $sources -}}
{{- if eq $source.name "git" }}{{ $volume = include "portcullis.policies.volume" (list $sources $index) }}{{ end -}}
{{- end -}}
name: portcullis-git
image: {{ $git.image }}
imagePullPolicy: IfNotPresent
env:
  - name: GITSYNC_REPO
    value: {{ $git.repo | quote }}
  - name: GITSYNC_REF
    value: {{ $git.ref | quote }}
  - name: GITSYNC_ROOT
    value: /git
  - name: GITSYNC_LINK
    value: current
  - name: GITSYNC_PERIOD
    value: {{ $git.period | quote }}
  - name: GITSYNC_DEPTH
    value: "1"
  # A repository that cannot be reached is tried again; what is served stays.
  - name: GITSYNC_MAX_FAILURES
    value: "-1"
  - name: GITSYNC_HTTP_BIND
    value: ":{{ $git.httpPort }}"
  - name: GITSYNC_HTTP_METRICS
    value: "true"
  - name: HOME
    value: /tmp
  {{- if $git.secretName }}
  {{- if hasPrefix "http" $git.repo }}
  - name: GITSYNC_USERNAME
    value: {{ $git.username | quote }}
  - name: GITSYNC_PASSWORD_FILE
    value: /git-secret/password
  {{- else }}
  - name: GITSYNC_SSH_KEY_FILE
    value: /git-secret/ssh
  - name: GITSYNC_SSH_KNOWN_HOSTS_FILE
    value: /git-secret/known_hosts
  {{- end }}
  {{- end }}
ports:
  - name: portcullis-git
    containerPort: {{ $git.httpPort }}
# Not `/`, which fails until this very process has reached the repository, as readiness would: what was fetched before is
# served on while the repository is away.
livenessProbe:
  httpGet:
    path: /metrics
    port: portcullis-git
  {{- toYaml .Values.probes.liveness | nindent 2 }}
securityContext:
  {{- /* The user that its image has an entry for: ssh wants one. */}}
  {{- toYaml (merge (dict "runAsUser" 65533) .Values.securityContext) | nindent 2 }}
resources:
  {{- toYaml $git.resources | nindent 2 }}
volumeMounts:
  - name: {{ $volume }}
    mountPath: /git
  - name: portcullis-git-tmp
    mountPath: /tmp
  {{- if $git.secretName }}
  - name: portcullis-git-secret
    mountPath: /git-secret
    readOnly: true
  {{- end }}
{{- end -}}
