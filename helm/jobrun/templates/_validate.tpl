{{/* What a schema can't say: values that exclude each other. Included where every release comes by. */}}
{{- define "jobrun.validate" -}}
{{- $nats := .Values.nats -}}
{{- if $nats.enabled -}}
{{- if or $nats.url $nats.existingSecret.name -}}
{{- fail "nats.url and nats.existingSecret are for a broker of your own: set nats.enabled=false with them" -}}
{{- end -}}
{{- if not (or $nats.image.tag $nats.image.digest) -}}
{{- fail "nats.image.tag: say which image of the broker, by its tag or its digest" -}}
{{- end -}}
{{- if eq (include "jobrun.workerSecretName" .) (include "jobrun.natsAuthSecret" .) -}}
{{- fail (printf "nats.workerSecret.name: %s is the Secret with the passwords of all of the broker's users; give the workers' login another name" (include "jobrun.natsAuthSecret" .)) -}}
{{- end -}}
{{- if ne (int .Values.settings.streamReplicas) 1 -}}
{{- fail "settings.streamReplicas: the included broker is a single server; for replicas use your own (nats.enabled=false)" -}}
{{- end -}}
{{- end -}}
{{- with $nats.existingSecret -}}
{{- if and .name .userKey (not .credsKey) (not .passwordKey) -}}
{{- fail "nats.existingSecret.passwordKey: say which key has the password; without a user's name, set userKey to nothing as well" -}}
{{- end -}}
{{- if and .name .certKey (not .certKeyKey) -}}
{{- fail "nats.existingSecret.certKeyKey: say which key has the key of the certificate that certKey names" -}}
{{- end -}}
{{- end -}}
{{- $own := include "jobrun.ownLabels" (list . "operator") | fromYaml -}}
{{- range $value, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "nats.podLabels" $nats.podLabels -}}
{{- range $label, $_ := $labels -}}
{{- if hasKey $own $label -}}
{{- fail (printf "%s: %s is set by the chart itself; leave it out" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled" -}}
{{- end -}}
{{- end -}}
