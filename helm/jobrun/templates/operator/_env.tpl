{{/* The environment of the operator: JOBRUN_ and a setting's name in capitals. */}}
{{- define "jobrun.operatorEnv" -}}
{{- $nats := .Values.nats -}}
{{- $login := $nats.existingSecret -}}
- name: JOBRUN_RELEASE
  value: {{ printf "%s/%s" .Release.Namespace .Release.Name | quote }}
- name: JOBRUN_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: JOBRUN_PORT
  value: "8080"
- name: JOBRUN_NATS_URL
  value: {{ include "jobrun.natsUrl" . | quote }}
{{- if $nats.enabled }}
- name: JOBRUN_NATS_USER
  value: operator
- name: JOBRUN_NATS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "jobrun.natsAuthSecret" . }}
      key: operator-password
{{- if and $nats.tls.secretName $nats.tls.ca }}
- name: JOBRUN_NATS_TLS_CA
  value: /etc/jobrun/nats-ca/ca.crt
{{- end }}
{{- else }}
{{- with $login.name }}
{{- if $login.credsKey }}
- name: JOBRUN_NATS_CREDENTIALS
  value: /etc/jobrun/nats/{{ $login.credsKey }}
{{- else if $login.userKey }}
- name: JOBRUN_NATS_USER
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $login.userKey }}
- name: JOBRUN_NATS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $login.passwordKey }}
{{- end }}
{{- if $login.caKey }}
- name: JOBRUN_NATS_TLS_CA
  value: /etc/jobrun/nats/{{ $login.caKey }}
{{- end }}
{{- if $login.certKey }}
- name: JOBRUN_NATS_TLS_CERT
  value: /etc/jobrun/nats/{{ $login.certKey }}
- name: JOBRUN_NATS_TLS_KEY
  value: /etc/jobrun/nats/{{ $login.certKeyKey }}
{{- end }}
{{- end }}
{{- end }}
{{- with $nats.workerUrl }}
- name: JOBRUN_WORKER_NATS_URL
  value: {{ . | quote }}
{{- end }}
{{- with include "jobrun.workerSecretName" . }}
- name: JOBRUN_WORKER_NATS_SECRET
  value: {{ . }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: JOBRUN_{{ $name | snakecase | upper }}
  {{- /* Whole numbers come as floating-point ones, and would print as 1e+09. */}}
  value: {{ ternary (printf "%v" $value) (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
