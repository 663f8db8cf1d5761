{#-
  Which sale lines were known at a moment, and what of them. A line proves itself by its `sold_at`; what is said of
  it later (a refund, a cancellation) is known from the version valid then. A line first seen after the moment
  counts as it was sold: whole, for its refund has no date of its own.
-#}
{% macro is_line_known_at(line, moment) -%}
    (
        {{ line }}.sold_at <= {{ moment }}
        and not {{ is_deleted_at(line, moment) }}
        and (
            {{ is_valid_at(line, moment) }}
            or ({{ line }}.valid_from > {{ moment }} and {{ is_first_version('sale', line, line ~ '.sale_id') }})
        )
    )
{%- endmacro %}

{% macro known_of_line(line, what, moment) -%}
    case when {{ line }}.valid_from <= {{ moment }} then {{ line }}.net_{{ what }} else {{ line }}.gross_{{ what }} end
{%- endmacro %}

{% macro is_first_version(kind, version, native_id) -%}
    not exists (
        select 1
        from {{ source('landing', kind) }} as earlier
        where
            earlier.partner = {{ version }}.partner
            and earlier.platform = {{ version }}.platform
            and earlier.native_id = {{ native_id }}
            and earlier.valid_to is not null -- what another one follows is closed; says so for the index
            and (earlier.valid_from, earlier.version_id) < ({{ version }}.valid_from, {{ version }}.version_id)
    )
{%- endmacro %}
