{{/* Names, labels and images: what every object of the chart has in common. */}}

{{- define "jobrun.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 47 characters: of a StatefulSet, with "-nats" and the hash of a revision, a label of 63 is made. */}}
{{- define "jobrun.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" -}}
{{- else if contains (include "jobrun.name" .) .Release.Name -}}
{{- .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "jobrun.name" .) | trunc 47 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-scoped objects carry the namespace as well: releases of one name may be in several. */}}
{{- define "jobrun.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "jobrun.fullname" .) -}}
{{- end -}}

{{- define "jobrun.natsName" -}}
{{- printf "%s-nats" (include "jobrun.fullname" .) -}}
{{- end -}}

{{/* (list $ "component") -> what selects the pods of a component; never changes in the life of a release. */}}
{{- define "jobrun.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "jobrun.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* (list $ "component") -> the labels of an object that are the chart's: no value may repeat one. */}}
{{- define "jobrun.ownLabels" -}}
{{- $root := index . 0 -}}
{{ include "jobrun.selectorLabels" . }}
app.kubernetes.io/part-of: jobrun
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (list $ "component") -> all labels of an object. */}}
{{- define "jobrun.labels" -}}
{{ include "jobrun.ownLabels" . }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (list image "default tag") -> the reference; a digest says exactly which image, whatever the tag. */}}
{{- define "jobrun.image" -}}
{{- $image := index . 0 -}}
{{- $image.repository }}{{ with $image.tag | default (index . 1) }}:{{ . }}{{ end }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "jobrun.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "jobrun.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name: say which ServiceAccount the operator uses where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Where pods go: the four values that the operator and the broker have alike. */}}
{{- define "jobrun.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* "true" where a ServiceMonitor is wanted and the cluster knows what that is. */}}
{{- define "jobrun.serviceMonitor" -}}
{{- if and .Values.metrics.serviceMonitor.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
true
{{- end -}}
{{- end -}}
