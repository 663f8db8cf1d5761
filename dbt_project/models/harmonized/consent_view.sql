select
    -- keys
    contacts.partner,
    contacts.platform,
    contacts.contact_id,

    -- the contact's own word, null where it never gave one
    contacts.consent_processing,
    contacts.consent_pooling,

    -- what follows from it
    coalesce(contacts.consent_processing, partners.default_processing) = 'granted' as is_processing_allowed,
    coalesce(contacts.consent_processing, partners.default_processing) = 'granted'
    and coalesce(contacts.consent_pooling, 'denied') = 'granted'
    and partners.pooling as is_pooling_allowed
from {{ ref('stg_contact') }} as contacts
inner join {{ source('integrator', 'partner') }} as partners on contacts.partner = partners.partner
