{#-
  After each model, in its transaction: a relation that dbt makes anew has lost its policies and grants. Tables of a
  tenant are protected by the same function as the migrations' own; views read with their reader's rights, so they
  need no policy. Data scientists read the harmonized and feature tables; staging stays with the services,
  and so do the views that reach down to landing.
-#}
{% macro secure() -%}
    {{ return(adapter.dispatch('secure')()) }}
{%- endmacro %}

{% macro default__secure() -%}{%- endmacro %}

{% macro postgres__secure() -%}
    {%- if config.get('materialized') == 'live_view' -%}
        grant select on {{ this }} to integrator_service
        {%- if this.name.endswith('_training') %}, integrator_analyst{% endif %}
    {%- elif is_kept() -%}
        analyze {{ this }}
    {%- else -%}
        select integrator.protect('{{ this }}');
        grant select on {{ this }} to integrator_service, integrator_analyst;
        {%- if (config.get('meta') or {}).get('streamed') %}
        grant insert, delete on {{ this }} to integrator_service;
        {%- endif %}
        analyze {{ this }}
    {%- endif -%}
{%- endmacro %}
