{{- define "registry-facade.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Of what stays the same for the life of a workload. Called with (list $ "component"). */ -}}
{{- define "registry-facade.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "registry-facade.labels" -}}
{{- $root := index . 0 -}}
{{ include "registry-facade.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "registry-facade.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "registry-facade.hasSetup" -}}
{{- if .Values.facade.setup.enabled -}}
{{- if not .Values.facade.tls.secretName -}}
{{- fail "facade.setup.enabled needs facade.tls.secretName: containerd is told to use HTTPS. Without TLS, configure the nodes as docs/clients.md shows, and set facade.setup.enabled=false" -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{- /* The facade's configuration as JSON. */ -}}
{{- define "registry-facade.facadeConfig" -}}
{{- $values := .Values -}}
{{- $registry := dict "host" "0.0.0.0" "port" 31750 "store" "/store" "fixedSpecFN" "/specs/specs.json" -}}
{{- if $values.facade.tls.secretName -}}
{{- $_ := set $registry "tls" (dict "crt" "/tls/tls.crt" "key" "/tls/tls.key") -}}
{{- end -}}
{{- if $values.redis.enabled -}}
{{- $addr := default (printf "%s-redis:6379" (include "registry-facade.fullname" .)) $values.redis.addr -}}
{{- $redis := dict "enabled" true "singleHostAddr" $addr -}}
{{- if $values.redis.username }}{{- $_ := set $redis "username" $values.redis.username -}}{{- end -}}
{{- if $values.redis.useTLS }}{{- $_ := set $redis "useTLS" true -}}{{- end -}}
{{- $_ := set $registry "redis" $redis -}}
{{- end -}}
{{- if $values.kubo.enabled -}}
{{- $ipfs := dict "enabled" true "ipfsAddr" "/ip4/127.0.0.1/tcp/5001" "gatewayAddr" "http://127.0.0.1:8080" -}}
{{- $_ := set $ipfs "budgetBytes" $values.kubo.budgetBytes -}}
{{- $_ := set $registry "ipfs" $ipfs -}}
{{- end -}}
{{- $config := dict "prometheusAddr" ":9500" "readinessProbeAddr" ":8086" "registry" $registry -}}
{{- if $values.facade.dockerAuth.secretName -}}
{{- $_ := set $config "dockerAuth" "/docker-auth/config.json" -}}
{{- end -}}
{{- toPrettyJson (mergeOverwrite $config (deepCopy $values.facade.config)) -}}
{{- end -}}

{{- /* blobserve's configuration as JSON. */ -}}
{{- define "registry-facade.blobserveConfig" -}}
{{- $values := .Values.blobserve -}}
{{- $space := dict "location" "/store" "maxSizeBytes" $values.store.maxSizeBytes -}}
{{- $config := dict "prometheusAddr" ":9500" "readinessProbeAddr" ":8086" -}}
{{- $_ := set $config "shutdown" (dict "delay" "5s" "grace" "45s") -}}
{{- $_ := set $config "blobserve" (dict "port" 32224 "blobSpace" $space) -}}
{{- if $values.dockerAuth.secretName -}}
{{- $_ := set $config "dockerAuth" "/docker-auth/config.json" -}}
{{- end -}}
{{- toPrettyJson (mergeOverwrite $config (deepCopy $values.config)) -}}
{{- end -}}

{{- /* What no container of ours needs. */ -}}
{{- define "registry-facade.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "registry-facade.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- /* Both ask nobody else, so they may ask often. */ -}}
{{- define "registry-facade.probes" -}}
startupProbe:
  httpGet: { path: /live, port: probes }
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: { path: /ready, port: probes }
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /live, port: probes }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}
