{{/* The cluster's name. Its objects' names are made from it, so it cannot be as long as others. */}}
{{- define "redis-cluster.name" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name -}}
{{- if or (gt (len $name) 52) (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) -}}
{{- fail (printf "%q cannot name a cluster: choose a release name (or fullnameOverride) of 1 to 52 characters of a-z, 0-9 and '-', a letter first, no '-' at the end" $name) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{/* The Service for clients. */}}
{{- define "redis-cluster.service" -}}
{{- .Values.serviceName | default (include "redis-cluster.name" .) -}}
{{- end }}

{{/* The chart's labels; these say whose release it is. The coordinator puts its own on what it makes. */}}
{{- define "redis-cluster.labels" -}}
{{- $own := include "redis-cluster.ownLabels" .root | fromYaml -}}
{{- mergeOverwrite (deepCopy .labels) $own | toYaml -}}
{{- end }}

{{- define "redis-cluster.ownLabels" -}}
app.kubernetes.io/name: redis-cluster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* The server's image, from the values alone. */}}
{{- define "redis-cluster.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository .Values.image.tag -}}
{{- end -}}
{{- end }}

{{/* The container `redis`: what the values say, and over it what the podTemplate says. */}}
{{- define "redis-cluster.server" -}}
{{- $server := dict "name" "redis" "image" (include "redis-cluster.image" .) -}}
{{- with .Values.image.pullPolicy }}{{ $_ := set $server "imagePullPolicy" . }}{{ end -}}
{{- with .Values.resources }}{{ $_ := set $server "resources" (deepCopy .) }}{{ end -}}
{{- range dig "spec" "containers" list .Values.podTemplate -}}
{{- if eq .name "redis" }}{{ $server = mergeOverwrite $server (deepCopy .) }}{{ end -}}
{{- end -}}
{{- toYaml $server -}}
{{- end }}

{{/* The image that `helm test` uses. */}}
{{- define "redis-cluster.testImage" -}}
{{- .Values.test.image | default (include "redis-cluster.server" . | fromYaml).image -}}
{{- end }}

{{/* The podTemplate with that container first. */}}
{{- define "redis-cluster.podTemplate" -}}
{{- $template := deepCopy .Values.podTemplate -}}
{{- $spec := get $template "spec" | default dict -}}
{{- $containers := list (include "redis-cluster.server" . | fromYaml) -}}
{{- range get $spec "containers" | default list -}}
{{- if ne .name "redis" }}{{ $containers = append $containers . }}{{ end -}}
{{- end -}}
{{- $_ := set $spec "containers" $containers -}}
{{- if and .Values.imagePullSecrets (not (hasKey $spec "imagePullSecrets")) -}}
{{- $_ := set $spec "imagePullSecrets" .Values.imagePullSecrets -}}
{{- end -}}
{{- $_ := set $template "spec" $spec -}}
{{- toYaml $template -}}
{{- end }}

{{/* The field maxMemory; empty without. */}}
{{- define "redis-cluster.maxMemory" -}}
{{- $values := .Values.maxMemory | default dict -}}
{{- if or $values.enabled $values.size -}}
{{- $memory := dict "policy" ($values.policy | default "noeviction") -}}
{{- if $values.size }}{{ $_ := set $memory "size" $values.size }}{{ else }}{{ $_ := set $memory "percent" (int ($values.percent | default 75)) }}{{ end -}}
{{- toYaml $memory -}}
{{- end -}}
{{- end }}

{{/* The field migration. */}}
{{- define "redis-cluster.migration" -}}
{{- $migration := deepCopy (.Values.migration | default dict) -}}
{{- if not $migration.maxBytesPerSecond }}{{ $migration = omit $migration "maxBytesPerSecond" }}{{ end -}}
{{- toYaml $migration -}}
{{- end }}

{{/* The field storage; empty without. */}}
{{- define "redis-cluster.storage" -}}
{{- $values := .Values.storage -}}
{{- if or $values.enabled $values.size $values.volumeClaimTemplate -}}
{{- $storage := dict -}}
{{- range $field := list "size" "storageClassName" "volumeClaimTemplate" "whenDeleted" "whenScaled" -}}
{{- with get $values $field }}{{ $_ := set $storage $field . }}{{ end -}}
{{- end -}}
{{- toYaml $storage -}}
{{- end -}}
{{- end }}
