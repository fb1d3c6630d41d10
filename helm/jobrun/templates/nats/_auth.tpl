{{/* Who logs in to the broker, and with what. */}}

{{/* The Secret with operator-password, worker-password and client-password: the broker's side. */}}
{{- define "jobrun.natsAuthSecret" -}}
{{- .Values.nats.auth.existingSecret | default (printf "%s-auth" (include "jobrun.natsName" .)) -}}
{{- end -}}

{{/* The Secret that workers log in with, of the same name in each of their namespaces; empty: they need none. */}}
{{- define "jobrun.workerSecretName" -}}
{{- .Values.nats.workerSecret.name | default (ternary (printf "%s-worker" (include "jobrun.natsName" .)) "" .Values.nats.enabled) -}}
{{- end -}}

{{/* The passwords as JSON: those of the Secret that is in the cluster, generated where it is not. Kept in .Values while
     the chart is rendered, so that all templates get the same. They begin with a letter: the server's configuration
     takes a value that begins otherwise for a number. */}}
{{- define "jobrun.natsPasswords" -}}
{{- if not (hasKey .Values "_natsPasswords") -}}
{{- $known := (lookup "v1" "Secret" .Release.Namespace (include "jobrun.natsAuthSecret" .)).data | default dict -}}
{{- $passwords := dict -}}
{{- range $user := list "operator" "worker" "client" -}}
{{- $old := get $known (printf "%s-password" $user) -}}
{{- $_ := set $passwords $user (ternary (b64dec $old) (printf "p%s" (randAlphaNum 40)) (ne $old "")) -}}
{{- end -}}
{{- $_ := set .Values "_natsPasswords" $passwords -}}
{{- end -}}
{{- get .Values "_natsPasswords" | toJson -}}
{{- end -}}

{{/* Where the broker is. */}}
{{- define "jobrun.natsUrl" -}}
{{- if .Values.nats.enabled -}}
{{- printf "%s://%s.%s.svc:4222" (ternary "tls" "nats" (ne .Values.nats.tls.secretName "")) (include "jobrun.natsName" .) .Release.Namespace -}}
{{- else -}}
{{- required "nats.url: say where your broker is where nats.enabled is false, such as nats://nats.example.svc:4222" .Values.nats.url -}}
{{- end -}}
{{- end -}}
