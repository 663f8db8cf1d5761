{#- Schemas are exactly staging, harmonized and features: their owner, grants and row-level security are the migrations'. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
