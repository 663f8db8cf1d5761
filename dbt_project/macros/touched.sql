{#-
  What a run replaces. Keys come from ops.touched, never from a date: rows commit out of order, so the window is
  [position_low, position_high) in transaction ids, closed below the oldest transaction still running.
-#}
{% macro in_window(txid) -%}
    {{ txid }} >= cast('{{ run_value("position_low", "0") }}' as xid8)
    {%- if run_value('position_high') %} and {{ txid }} < cast('{{ run_value("position_high") }}' as xid8){% endif %}
{%- endmacro %}

{#- Keys of one kind that changed; a touched partner (its zone, currency or default changed) means all of its keys. -#}
{% macro touched_of(kind) -%}
    select touched.partner, touched.platform, touched.native_id
    from {{ source('ops', 'touched') }} as touched
    where touched.kind = '{{ kind }}' and {{ in_window('touched.txid') }}
    union
    select landed.partner, landed.platform, landed.native_id
    from {{ source('landing', kind) }} as landed
    where landed.partner in (
        select partner_touched.partner from {{ source('ops', 'touched_log') }} as partner_touched
        where partner_touched.kind = 'partner' and {{ in_window('partner_touched.txid') }}
    )
{%- endmacro %}

{#-
  Before an incremental model: a temporary table of its own keys, made once, read by the model and by the delete.
  It holds keys that no longer exist too, which is how erased and denied rows disappear.
-#}
{% macro take_touched(keys_sql) -%}
    {%- if is_incremental() -%}
        create temporary table touched_keys on commit drop as {{ keys_sql }};
        analyze touched_keys
    {%- endif -%}
{%- endmacro %}

{#- Sale lines carry what their contact's consent allows, so a touched contact touches its lines. -#}
{% macro touched_sales() -%}
    with touched_contact as ({{ touched_of('contact') }})
    {{ touched_of('sale') }}
    union
    select line.partner, line.platform, line.native_id
    from touched_contact
    inner join {{ source('landing', 'sale') }} as line
        on
            touched_contact.partner = line.partner
            and touched_contact.platform = line.platform
            and touched_contact.native_id = line.contact_id
{%- endmacro %}

{#-
  Every contact whose person may differ now: the touched ones, those that shared a person with them, and all that
  can be reached from these by a shared e-mail address or phone number. The recursion walks hashes, not contacts, so a
  number shared by thousands costs thousands of steps and not millions. `touched` is the SQL of the contacts to begin
  with, `known` the crosswalk so far.
-#}
{% macro touched_identities(touched, known) -%}
    with recursive touched as ({{ touched }}),
    seed as (
        select touched.partner, touched.platform, touched.native_id from touched
        union
        select sibling.partner, sibling.platform, sibling.native_id
        from touched
        inner join {{ known }} as known
            on
                touched.partner = known.partner
                and touched.platform = known.platform
                and touched.native_id = known.native_id
        inner join {{ known }} as sibling on known.partner = sibling.partner and known.person_id = sibling.person_id
    ),
    shared (partner, via, hash) as (
        select contact.partner, via_hash.via, via_hash.hash
        from seed
        inner join {{ source('landing', 'contact') }} as contact
            on
                seed.partner = contact.partner
                and seed.platform = contact.platform
                and seed.native_id = contact.native_id
                and contact.valid_to is null
        cross join lateral (values ('email', contact.email_hash), ('phone', contact.phone_hash)) as via_hash (via, hash)
        where via_hash.hash is not null
        union
        select shared.partner, via_hash.via, via_hash.hash
        from shared
        cross join lateral (
            select contact.email_hash, contact.phone_hash
            from {{ source('landing', 'contact') }} as contact
            where shared.via = 'email' and contact.partner = shared.partner
                and contact.email_hash = shared.hash and contact.valid_to is null
            union all
            select contact.email_hash, contact.phone_hash
            from {{ source('landing', 'contact') }} as contact
            where shared.via = 'phone' and contact.partner = shared.partner
                and contact.phone_hash = shared.hash and contact.valid_to is null
        ) as neighbour
        cross join lateral (values ('email', neighbour.email_hash), ('phone', neighbour.phone_hash)) as via_hash (via, hash)
        where via_hash.hash is not null
    )
    select seed.partner, seed.platform, seed.native_id from seed
    union
    select contact.partner, contact.platform, contact.native_id
    from shared
    inner join {{ source('landing', 'contact') }} as contact
        on shared.partner = contact.partner and shared.hash = contact.email_hash and contact.valid_to is null
    where shared.via = 'email'
    union
    select contact.partner, contact.platform, contact.native_id
    from shared
    inner join {{ source('landing', 'contact') }} as contact
        on shared.partner = contact.partner and shared.hash = contact.phone_hash and contact.valid_to is null
    where shared.via = 'phone'
{%- endmacro %}

{#- Persons whose crosswalk was rewritten in this window, and persons that the crosswalk no longer knows. -#}
{% macro touched_persons() -%}
    select known.partner, known.person_id
    from {{ ref('identity') }} as known
    where known.input_position > cast('{{ run_value("position_low", "0") }}' as bigint)
    union
    select gone.partner, gone.person_id
    from {{ this }} as gone
    left join {{ ref('identity') }} as known on gone.partner = known.partner and gone.person_id = known.person_id
    where known.person_id is null
{%- endmacro %}
