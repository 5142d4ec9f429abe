{{/* The chart's name. */}}
{{- define "redis-coordinator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* The name of everything: the release's, with the chart's unless it has it already. */}}
{{- define "redis-coordinator.fullname" -}}
{{- $name := include "redis-coordinator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* What no namespace holds must be told apart by the release's namespace too. */}}
{{- define "redis-coordinator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "redis-coordinator.fullname" .) -}}
{{- end }}

{{- define "redis-coordinator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "redis-coordinator.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.create is false: write the name of the account that exists in serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* What finds the pods; a Deployment's can never change. */}}
{{- define "redis-coordinator.selector" -}}
app.kubernetes.io/name: {{ include "redis-coordinator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: coordinator
{{- end }}

{{/* Yours, and those that this chart needs: of two with one name the chart's holds. */}}
{{- define "redis-coordinator.labels" -}}
{{- include "redis-coordinator.merged" (dict "labels" .Values.labels "root" .) -}}
{{- end }}

{{- define "redis-coordinator.podLabels" -}}
{{- $given := mergeOverwrite (deepCopy .Values.labels) (deepCopy .Values.podLabels) -}}
{{- include "redis-coordinator.merged" (dict "labels" $given "root" .) -}}
{{- end }}

{{- define "redis-coordinator.merged" -}}
{{- $own := include "redis-coordinator.ownLabels" .root | fromYaml -}}
{{- mergeOverwrite (deepCopy .labels) $own | toYaml -}}
{{- end }}

{{- define "redis-coordinator.ownLabels" -}}
{{ include "redis-coordinator.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: redisnode
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* An image: (dict "image" … "version" …). */}}
{{- define "redis-coordinator.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .version) -}}
{{- end -}}
{{- end }}

{{/* Not empty where the platform gives pods their user. */}}
{{- define "redis-coordinator.usersAreAssigned" -}}
{{- if eq (toString .Values.usersAreAssigned) "auto" -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}yes{{- end -}}
{{- else if .Values.usersAreAssigned -}}yes{{- end -}}
{{- end }}

{{- define "redis-coordinator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
