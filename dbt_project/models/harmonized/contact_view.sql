select
    -- keys
    persons.partner,
    persons.person_id,
    persons.platform,
    persons.native_id as contact_id,

    -- when
    records.created_at,
    records.converted_at,
    records.lost_at,

    -- what
    records.stage,
    records.source,
    records.country,
    {{ merged_attributes('records.attribute_maps') }} as attributes,

    -- how it came about
    records.record_count,
    records.platform_count,
    records.is_pooling_allowed
from {{ ref('identity') }} as persons
cross join lateral (
    select
        min(contacts.created_at) as created_at,
        min(contacts.converted_at) as converted_at,
        -- a person is lost when the last record that could still convert is
        case when count(contacts.lost_at) = count(*) then max(contacts.lost_at) end as lost_at,
        {{ last_value_by('contacts.stage', 'contacts.valid_from') }} as stage,
        {{ first_value_by('contacts.source', 'contacts.created_at') }} as source,
        {{ last_value_by('contacts.country', 'contacts.valid_from') }} as country,
        array_agg(contacts.attributes order by contacts.valid_from, contacts.version_id) as attribute_maps,
        count(*) as record_count,
        count(distinct contacts.platform) as platform_count,
        bool_or(consents.is_pooling_allowed)
        and not bool_or(coalesce(consents.consent_pooling, '') = 'denied') as is_pooling_allowed,
        bool_or(consents.is_processing_allowed)
        and not bool_or(coalesce(consents.consent_processing, '') = 'denied') as is_processing_allowed
    from {{ ref('identity') }} as members
    inner join {{ ref('stg_contact') }} as contacts
        on
            members.partner = contacts.partner
            and members.platform = contacts.platform
            and members.native_id = contacts.contact_id
    inner join {{ ref('consent_view') }} as consents
        on
            members.partner = consents.partner
            and members.platform = consents.platform
            and members.native_id = consents.contact_id
    where members.partner = persons.partner and members.person_id = persons.person_id
) as records
where persons.is_canonical and records.is_processing_allowed
