-- The tables of OpenEMR (8.2) that the product touches, with the columns that it reads or writes and a few that only
-- OpenEMR uses. Enough for demonstrations and tests; a hospital has its own OpenEMR.

CREATE TABLE patient_data (
  id bigint(20) NOT NULL AUTO_INCREMENT,
  uuid binary(16) DEFAULT NULL,
  pid bigint(20) NOT NULL DEFAULT 0,
  pubpid varchar(255) NOT NULL DEFAULT '',
  title varchar(255) NOT NULL DEFAULT '',
  fname varchar(255) NOT NULL DEFAULT '',
  mname varchar(255) NOT NULL DEFAULT '',
  lname varchar(255) NOT NULL DEFAULT '',
  suffix tinytext DEFAULT NULL,
  DOB date DEFAULT NULL,
  sex varchar(255) NOT NULL DEFAULT '',
  language varchar(255) NOT NULL DEFAULT '',
  status varchar(255) NOT NULL DEFAULT '',
  street varchar(255) NOT NULL DEFAULT '',
  street_line_2 tinytext DEFAULT NULL,
  city varchar(255) NOT NULL DEFAULT '',
  county varchar(40) NOT NULL DEFAULT '',
  state varchar(255) NOT NULL DEFAULT '',
  postal_code varchar(255) NOT NULL DEFAULT '',
  country_code varchar(255) NOT NULL DEFAULT '',
  phone_home varchar(255) NOT NULL DEFAULT '',
  phone_biz varchar(255) NOT NULL DEFAULT '',
  phone_contact varchar(255) NOT NULL DEFAULT '',
  phone_cell varchar(255) NOT NULL DEFAULT '',
  email varchar(255) NOT NULL DEFAULT '',
  email_direct varchar(255) NOT NULL DEFAULT '',
  occupation longtext DEFAULT NULL,
  deceased_date datetime DEFAULT NULL,
  providerID int(11) DEFAULT NULL,
  date datetime DEFAULT NULL,
  regdate datetime DEFAULT NULL,
  pricelevel varchar(255) NOT NULL DEFAULT 'standard',
  dupscore int(11) NOT NULL DEFAULT -9,
  last_updated datetime NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
  UNIQUE KEY pid (pid),
  UNIQUE KEY uuid (uuid),
  KEY id (id),
  KEY lname (lname, fname)
) ENGINE=InnoDB;

CREATE TABLE users (
  id bigint(20) NOT NULL AUTO_INCREMENT,
  uuid binary(16) DEFAULT NULL,
  username varchar(255) DEFAULT NULL,
  authorized tinyint(4) DEFAULT NULL,
  fname varchar(255) DEFAULT NULL,
  mname varchar(255) DEFAULT NULL,
  lname varchar(255) DEFAULT NULL,
  suffix varchar(255) DEFAULT NULL,
  title varchar(30) DEFAULT NULL,
  npi varchar(15) DEFAULT NULL,
  email varchar(255) DEFAULT NULL,
  phone varchar(30) DEFAULT NULL,
  phonew1 varchar(30) DEFAULT NULL,
  phonecell varchar(30) DEFAULT NULL,
  active tinyint(1) NOT NULL DEFAULT 1,
  abook_type varchar(31) NOT NULL DEFAULT '',
  facility_id int(11) NOT NULL DEFAULT 0,
  specialty varchar(255) DEFAULT NULL,
  last_updated datetime NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
  PRIMARY KEY (id),
  UNIQUE KEY uuid (uuid)
) ENGINE=InnoDB;

CREATE TABLE facility (
  id int(11) NOT NULL AUTO_INCREMENT,
  uuid binary(16) DEFAULT NULL,
  name varchar(255) DEFAULT NULL,
  primary_business_entity int(10) NOT NULL DEFAULT 1,
  inactive tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (id),
  UNIQUE KEY uuid (uuid)
) ENGINE=InnoDB;

CREATE TABLE form_encounter (
  id bigint(20) NOT NULL AUTO_INCREMENT,
  uuid binary(16) DEFAULT NULL,
  date datetime DEFAULT NULL,
  date_end datetime DEFAULT NULL,
  reason longtext DEFAULT NULL,
  facility longtext DEFAULT NULL,
  facility_id int(11) NOT NULL DEFAULT 0,
  pid bigint(20) DEFAULT NULL,
  encounter bigint(20) DEFAULT NULL,
  sensitivity varchar(30) DEFAULT NULL,
  pc_catid int(11) NOT NULL DEFAULT 5,
  provider_id int(11) DEFAULT 0,
  referring_provider_id int(11) DEFAULT 0,
  class_code varchar(10) NOT NULL DEFAULT 'AMB',
  external_id varchar(20) DEFAULT NULL,
  last_update timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
  PRIMARY KEY (id),
  UNIQUE KEY uuid (uuid),
  KEY pid_encounter (pid, encounter)
) ENGINE=InnoDB;

CREATE TABLE forms (
  id bigint(20) NOT NULL AUTO_INCREMENT,
  date datetime DEFAULT NULL,
  encounter bigint(20) DEFAULT NULL,
  form_name longtext DEFAULT NULL,
  form_id bigint(20) DEFAULT NULL,
  pid bigint(20) DEFAULT NULL,
  user varchar(255) DEFAULT NULL,
  groupname varchar(255) DEFAULT NULL,
  authorized tinyint(4) DEFAULT NULL,
  deleted tinyint(4) NOT NULL DEFAULT 0,
  formdir longtext DEFAULT NULL,
  PRIMARY KEY (id),
  KEY pid_encounter (pid, encounter),
  KEY form_id (form_id)
) ENGINE=InnoDB;

CREATE TABLE procedure_order (
  procedure_order_id bigint(20) NOT NULL AUTO_INCREMENT,
  uuid binary(16) DEFAULT NULL,
  provider_id bigint(20) NOT NULL DEFAULT 0,
  patient_id bigint(20) NOT NULL,
  encounter_id bigint(20) NOT NULL DEFAULT 0,
  date_collected datetime DEFAULT NULL,
  date_ordered datetime DEFAULT NULL,
  order_priority varchar(31) NOT NULL DEFAULT '',
  order_status varchar(31) NOT NULL DEFAULT '',
  patient_instructions text DEFAULT NULL,
  activity tinyint(1) NOT NULL DEFAULT 1,
  control_id varchar(255) NOT NULL DEFAULT '',
  lab_id bigint(20) NOT NULL DEFAULT 0,
  clinical_hx varchar(255) NOT NULL DEFAULT '',
  external_id varchar(20) DEFAULT NULL,
  order_diagnosis varchar(255) DEFAULT '',
  procedure_order_type varchar(32) NOT NULL DEFAULT 'laboratory_test',
  scheduled_date datetime DEFAULT NULL,
  scheduled_start datetime DEFAULT NULL,
  scheduled_end datetime DEFAULT NULL,
  performer_type varchar(50) DEFAULT NULL,
  order_intent varchar(31) NOT NULL DEFAULT 'order',
  PRIMARY KEY (procedure_order_id),
  UNIQUE KEY uuid (uuid),
  KEY patient_id (patient_id),
  KEY datepid (date_ordered, patient_id)
) ENGINE=InnoDB;

CREATE TABLE procedure_order_code (
  procedure_order_id bigint(20) NOT NULL,
  procedure_order_seq int(11) NOT NULL,
  procedure_code varchar(64) NOT NULL DEFAULT '',
  procedure_name varchar(255) NOT NULL DEFAULT '',
  procedure_source char(1) NOT NULL DEFAULT '1',
  diagnoses text DEFAULT NULL,
  do_not_send tinyint(1) NOT NULL DEFAULT 0,
  procedure_order_title varchar(255) DEFAULT NULL,
  procedure_type varchar(31) DEFAULT NULL,
  PRIMARY KEY (procedure_order_id, procedure_order_seq)
) ENGINE=InnoDB;

CREATE TABLE procedure_report (
  procedure_report_id bigint(20) NOT NULL AUTO_INCREMENT,
  uuid binary(16) DEFAULT NULL,
  procedure_order_id bigint(20) DEFAULT NULL,
  procedure_order_seq int(11) NOT NULL DEFAULT 1,
  date_collected datetime DEFAULT NULL,
  date_report datetime DEFAULT NULL,
  date_report_tz varchar(5) DEFAULT '',
  source bigint(20) NOT NULL DEFAULT 0,
  specimen_num varchar(63) NOT NULL DEFAULT '',
  report_status varchar(31) NOT NULL DEFAULT '',
  review_status varchar(31) NOT NULL DEFAULT 'received',
  report_notes text DEFAULT NULL,
  PRIMARY KEY (procedure_report_id),
  UNIQUE KEY uuid (uuid),
  KEY procedure_order_id (procedure_order_id)
) ENGINE=InnoDB;

CREATE TABLE procedure_result (
  procedure_result_id bigint(20) NOT NULL AUTO_INCREMENT,
  uuid binary(16) DEFAULT NULL,
  procedure_report_id bigint(20) NOT NULL,
  result_data_type char(1) NOT NULL DEFAULT 'S',
  result_code varchar(31) NOT NULL DEFAULT '',
  result_text varchar(255) NOT NULL DEFAULT '',
  date datetime DEFAULT NULL,
  facility varchar(255) NOT NULL DEFAULT '',
  units varchar(31) NOT NULL DEFAULT '',
  result varchar(255) NOT NULL DEFAULT '',
  `range` varchar(255) NOT NULL DEFAULT '',
  abnormal varchar(31) NOT NULL DEFAULT '',
  comments text DEFAULT NULL,
  document_id bigint(20) NOT NULL DEFAULT 0,
  result_status varchar(31) NOT NULL DEFAULT '',
  PRIMARY KEY (procedure_result_id),
  UNIQUE KEY uuid (uuid),
  KEY procedure_report_id (procedure_report_id)
) ENGINE=InnoDB;

CREATE TABLE uuid_registry (
  uuid binary(16) NOT NULL DEFAULT '',
  table_name varchar(255) NOT NULL DEFAULT '',
  table_id varchar(255) NOT NULL DEFAULT '',
  table_vertical varchar(255) NOT NULL DEFAULT '',
  couchdb varchar(255) NOT NULL DEFAULT '',
  document_drive tinyint(4) NOT NULL DEFAULT 0,
  mapped tinyint(4) NOT NULL DEFAULT 0,
  created timestamp NULL DEFAULT NULL,
  PRIMARY KEY (uuid)
) ENGINE=InnoDB;

CREATE TABLE sequences (
  id int(11) unsigned NOT NULL DEFAULT 0
) ENGINE=InnoDB;

INSERT INTO sequences (id) VALUES (1);
INSERT INTO facility (id, name) VALUES (3, 'Demonstration Hospital');
