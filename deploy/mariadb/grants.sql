-- What the synchronising account may do: the columns of the mapping (mappers/openemr/tables.py), and nothing more. A
-- test compares the two. The columns are intersected with those that this release of OpenEMR has.

REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'oesync'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE ON neuronova.cross_reference TO 'oesync'@'127.0.0.1';

DELIMITER //
CREATE OR REPLACE PROCEDURE neuronova.grant_columns(privilege varchar(6), in_table varchar(64), wanted text)
BEGIN
  DECLARE present text;
  SELECT GROUP_CONCAT(CONCAT('`', column_name, '`')) INTO present
    FROM information_schema.columns
    WHERE table_schema = 'openemr' AND table_name = in_table AND FIND_IN_SET(column_name, wanted);
  IF present IS NOT NULL THEN
    EXECUTE IMMEDIATE CONCAT('GRANT ', privilege, ' (', present, ') ON openemr.`', in_table, '` TO ''oesync''@''127.0.0.1''');
  END IF;
END //
DELIMITER ;

CALL neuronova.grant_columns('SELECT', 'patient_data',
  'pid,uuid,regdate,date,pubpid,title,fname,mname,lname,suffix,DOB,sex,language,status,street,street_line_2,city,county,state,postal_code,country_code,phone_home,phone_biz,phone_cell,email,email_direct,deceased_date,providerID');
CALL neuronova.grant_columns('INSERT', 'patient_data',
  'pid,uuid,regdate,date,pubpid,title,fname,mname,lname,suffix,DOB,sex,language,status,street,street_line_2,city,county,state,postal_code,country_code,phone_home,phone_biz,phone_cell,email,email_direct,deceased_date,providerID');
CALL neuronova.grant_columns('UPDATE', 'patient_data',
  'pubpid,title,fname,mname,lname,suffix,DOB,sex,language,status,street,street_line_2,city,county,state,postal_code,country_code,phone_home,phone_biz,phone_cell,email,email_direct,deceased_date,providerID');

CALL neuronova.grant_columns('SELECT', 'users',
  'id,uuid,authorized,abook_type,fname,mname,lname,suffix,title,npi,email,phone,phonew1,phonecell,active');
CALL neuronova.grant_columns('INSERT', 'users',
  'uuid,authorized,abook_type,fname,mname,lname,suffix,title,npi,email,phone,phonew1,phonecell,active');
CALL neuronova.grant_columns('UPDATE', 'users',
  'fname,mname,lname,suffix,title,npi,email,phone,phonew1,phonecell,active');

CALL neuronova.grant_columns('SELECT', 'form_encounter',
  'id,uuid,pid,encounter,facility,facility_id,date,date_end,reason,class_code,provider_id,referring_provider_id');
CALL neuronova.grant_columns('INSERT', 'form_encounter',
  'uuid,pid,encounter,facility,facility_id,date,date_end,reason,class_code,provider_id,referring_provider_id');
CALL neuronova.grant_columns('UPDATE', 'form_encounter',
  'date,date_end,reason,class_code,provider_id,referring_provider_id');

CALL neuronova.grant_columns('SELECT', 'forms',
  'id,date,encounter,form_name,form_id,pid,user,groupname,authorized,formdir,deleted');
CALL neuronova.grant_columns('INSERT', 'forms',
  'date,encounter,form_name,form_id,pid,user,groupname,authorized,formdir,deleted');
CALL neuronova.grant_columns('UPDATE', 'forms',
  'deleted');

CALL neuronova.grant_columns('SELECT', 'procedure_order',
  'procedure_order_id,uuid,patient_id,encounter_id,provider_id,date_ordered,order_priority,order_status,patient_instructions,activity,control_id,clinical_hx,order_diagnosis,procedure_order_type,scheduled_date,scheduled_start,scheduled_end,performer_type,order_intent');
CALL neuronova.grant_columns('INSERT', 'procedure_order',
  'uuid,patient_id,encounter_id,provider_id,date_ordered,order_priority,order_status,patient_instructions,activity,control_id,clinical_hx,order_diagnosis,procedure_order_type,scheduled_date,scheduled_start,scheduled_end,performer_type,order_intent');
CALL neuronova.grant_columns('UPDATE', 'procedure_order',
  'provider_id,date_ordered,order_priority,order_status,patient_instructions,activity,control_id,clinical_hx,order_diagnosis,procedure_order_type,scheduled_date,scheduled_start,scheduled_end,performer_type,order_intent');

CALL neuronova.grant_columns('SELECT', 'procedure_order_code',
  'procedure_order_id,procedure_order_seq,procedure_code,procedure_name,diagnoses,procedure_order_title,procedure_type');
CALL neuronova.grant_columns('INSERT', 'procedure_order_code',
  'procedure_order_id,procedure_order_seq,procedure_code,procedure_name,diagnoses,procedure_order_title,procedure_type');
CALL neuronova.grant_columns('UPDATE', 'procedure_order_code',
  'procedure_code,procedure_name,diagnoses,procedure_order_title,procedure_type');

CALL neuronova.grant_columns('SELECT', 'procedure_report',
  'procedure_report_id,uuid,procedure_order_id,procedure_order_seq,date_report,date_report_tz,source,report_status,report_notes');
CALL neuronova.grant_columns('INSERT', 'procedure_report',
  'uuid,procedure_order_id,procedure_order_seq,date_report,date_report_tz,source,report_status,report_notes');
CALL neuronova.grant_columns('UPDATE', 'procedure_report',
  'date_report,date_report_tz,source,report_status,report_notes');

CALL neuronova.grant_columns('SELECT', 'procedure_result',
  'procedure_result_id,uuid,procedure_report_id,result_data_type,result_code,result_text,date,units,result,range,abnormal,comments,result_status');
CALL neuronova.grant_columns('INSERT', 'procedure_result',
  'uuid,procedure_report_id,result_data_type,result_code,result_text,date,units,result,range,abnormal,comments,result_status');
CALL neuronova.grant_columns('UPDATE', 'procedure_result',
  'result_data_type,result_code,result_text,date,units,result,range,abnormal,comments,result_status');

CALL neuronova.grant_columns('SELECT', 'uuid_registry',
  'uuid,table_name,table_id,created');
CALL neuronova.grant_columns('INSERT', 'uuid_registry',
  'uuid,table_name,table_id,created');

CALL neuronova.grant_columns('SELECT', 'sequences',
  'id');
CALL neuronova.grant_columns('UPDATE', 'sequences',
  'id');

CALL neuronova.grant_columns('SELECT', 'facility',
  'id,name,primary_business_entity,inactive');

DROP PROCEDURE neuronova.grant_columns;
