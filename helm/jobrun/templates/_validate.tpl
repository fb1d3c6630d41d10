{{/* What a schema can't say: values that exclude each other. Included where every release comes by. */}}
{{- define "jobrun.validate" -}}
{{- $nats := .Values.nats -}}
{{- if $nats.enabled -}}
{{- if or $nats.url $nats.existingSecret.name -}}
{{- fail "nats.url and nats.existingSecret are for a broker of your own: set nats.enabled=false with them" -}}
{{- end -}}
{{- if ne (int .Values.settings.streamReplicas) 1 -}}
{{- fail "settings.streamReplicas: the included broker is a single server; for replicas use your own (nats.enabled=false)" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled" -}}
{{- end -}}
{{- end -}}
