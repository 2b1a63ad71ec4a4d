// Every public function around domains that libvirt's QEMU driver has: where it stands in the remote protocol and whether
// a read-only connection may call it. Source: libvirt 12.8.0's remote_protocol.x, qemu_protocol.x and virCheckReadOnlyGoto.
import type { ErrorDomain } from './error.ts'

/** Facts of an API that libvirt's own tables settle before any code of ours does. */
export interface ApiFact {
  /** procedure number; absent where the call never reaches a daemon */
  proc?: number
  /** the QEMU program instead of the remote one */
  program?: 'qemu'
  /** allowed on read-only connections, and by GET */
  readOnly?: true
  /** the client's library makes several calls of it; the procedure is that of the one that does the work */
  steps?: true
  /** libvirt's QEMU driver refuses it too, with VIR_ERR_NO_SUPPORT */
  refused?: true
}

/** read-only allowed, not allowed */
const ro = (proc: number): ApiFact => ({ proc, readOnly: true })
const rw = (proc: number): ApiFact => ({ proc })
/** one of several calls the client's library makes of it, each under a name of its own */
const steps = (proc: number): ApiFact => ({ proc, steps: true })
/** answered by the client's library */
const local: ApiFact = { readOnly: true }
const qemu = (proc: number): ApiFact => ({ proc, program: 'qemu' })
const refused = (proc: number, program?: 'qemu'): ApiFact => ({ proc, refused: true, ...(program && { program }) })

/** By area, in the order of libvirt's documentation. */
export const API_AREAS: Record<string, Record<string, ApiFact>> = {
  'Connection, host and capabilities': {
    virConnectOpen: ro(1),
    virConnectOpenReadOnly: ro(1),
    virConnectOpenAuth: ro(1),
    virConnectClose: ro(2),
    virConnectGetType: ro(3),
    virConnectGetVersion: ro(4),
    virConnectGetLibVersion: ro(157),
    virConnectGetHostname: ro(59),
    virConnectGetURI: ro(110),
    virConnectGetSysinfo: ro(203),
    virConnectGetMaxVcpus: ro(5),
    virConnectGetCapabilities: ro(7),
    virConnectGetDomainCapabilities: rw(342),
    virConnectGetCPUModelNames: ro(312),
    virConnectCompareCPU: ro(158),
    virConnectBaselineCPU: ro(162),
    virConnectCompareHypervisorCPU: rw(393),
    virConnectBaselineHypervisorCPU: rw(394),
    virConnectDomainXMLToNative: rw(136),
    virConnectIsEncrypted: ro(149),
    virConnectIsSecure: ro(149),
    virConnectIsAlive: local,
    virConnectSetKeepAlive: local,
    virConnectRegisterCloseCallback: ro(360),
    virConnectUnregisterCloseCallback: ro(361),
    virConnectSetIdentity: ro(419),
    virNodeGetInfo: ro(6),
    virNodeGetCPUMap: ro(293),
    virNodeGetCPUStats: ro(227),
    virNodeGetMemoryStats: ro(228),
    virNodeGetFreeMemory: ro(102),
    virNodeGetCellsFreeMemory: ro(101),
    virNodeGetFreePages: ro(340),
    virNodeAllocPages: rw(347),
    virNodeGetMemoryParameters: ro(289),
    virNodeSetMemoryParameters: rw(288),
    virNodeGetSecurityModel: ro(122),
    virNodeGetSEVInfo: rw(395),
    virNodeSuspendForDuration: rw(250),
    virNodeDeviceDettach: rw(118),
    virNodeDeviceDetachFlags: rw(301),
    virNodeDeviceReAttach: rw(119),
    virNodeDeviceReset: rw(120)
  },
  'Listing, lookup and identity': {
    virConnectNumOfDomains: ro(51),
    virConnectListDomains: ro(37),
    virConnectNumOfDefinedDomains: ro(25),
    virConnectListDefinedDomains: ro(21),
    virConnectListAllDomains: ro(273),
    virDomainLookupByID: ro(22),
    virDomainLookupByUUID: ro(24),
    virDomainLookupByUUIDString: ro(24),
    virDomainLookupByName: ro(23),
    virDomainGetName: local,
    virDomainGetUUID: local,
    virDomainGetUUIDString: local,
    virDomainGetID: local,
    virDomainGetConnect: local,
    virDomainGetOSType: ro(19),
    virDomainIsActive: ro(150),
    virDomainIsPersistent: ro(151),
    virDomainIsUpdated: ro(202),
    virDomainRename: rw(358),
    virDomainRef: local,
    virDomainFree: local
  },
  'Definition and lifecycle': {
    virDomainCreateXML: rw(10),
    virDomainCreateLinux: rw(10),
    virDomainCreate: rw(9),
    virDomainCreateWithFlags: rw(196),
    virDomainDefineXML: rw(11),
    virDomainDefineXMLFlags: rw(350),
    virDomainUndefine: rw(35),
    virDomainUndefineFlags: rw(231),
    virDomainSuspend: rw(34),
    virDomainResume: rw(28),
    virDomainShutdown: rw(33),
    virDomainShutdownFlags: rw(258),
    virDomainReboot: rw(27),
    virDomainReset: rw(245),
    virDomainDestroy: rw(12),
    virDomainDestroyFlags: rw(234),
    virDomainPMSuspendForDuration: rw(261),
    virDomainPMWakeup: rw(267),
    virDomainInjectNMI: rw(210),
    virDomainSetLifecycleAction: rw(390),
    virDomainGetAutostart: ro(15),
    virDomainSetAutostart: rw(29),
    virDomainGetAutostartOnce: ro(449),
    virDomainSetAutostartOnce: rw(450)
  },
  'State, XML, metadata, messages, statistics': {
    virDomainGetInfo: ro(16),
    virDomainGetState: ro(212),
    virDomainGetControlInfo: ro(229),
    virDomainGetXMLDesc: ro(14),
    virDomainGetMetadata: ro(265),
    virDomainSetMetadata: rw(264),
    virDomainGetMessages: ro(426),
    virDomainGetDiskErrors: ro(263),
    virConnectGetAllDomainStats: ro(344),
    virDomainListGetStats: ro(344),
    virDomainStatsRecordListFree: local,
    virDomainGetCPUStats: ro(262),
    virDomainGetPerfEvents: ro(365),
    virDomainSetPerfEvents: rw(366)
  },
  'vCPUs, pinning, scheduler, IOThreads': {
    virDomainGetMaxVcpus: ro(18),
    virDomainGetVcpus: ro(20),
    virDomainGetVcpusFlags: ro(200),
    virDomainSetVcpus: rw(32),
    virDomainSetVcpusFlags: rw(199),
    virDomainSetVcpu: rw(384),
    virDomainPinVcpu: rw(26),
    virDomainPinVcpuFlags: rw(225),
    virDomainGetVcpuPinInfo: ro(230),
    virDomainPinEmulator: rw(279),
    virDomainGetEmulatorPinInfo: ro(280),
    virDomainGetSchedulerType: ro(56),
    virDomainGetSchedulerParameters: ro(57),
    virDomainGetSchedulerParametersFlags: ro(223),
    virDomainSetSchedulerParameters: rw(58),
    virDomainSetSchedulerParametersFlags: rw(219),
    virDomainGetIOThreadInfo: ro(351),
    virDomainIOThreadInfoFree: local,
    virDomainPinIOThread: rw(352),
    virDomainAddIOThread: rw(355),
    virDomainDelIOThread: rw(356),
    virDomainSetIOThreadParams: rw(402)
  },
  'Memory and NUMA': {
    virDomainGetMaxMemory: ro(17),
    virDomainSetMaxMemory: rw(30),
    virDomainSetMemory: rw(31),
    virDomainSetMemoryFlags: rw(204),
    virDomainSetMemoryStatsPeriod: rw(308),
    virDomainMemoryStats: ro(159),
    virDomainGetMemoryParameters: ro(198),
    virDomainSetMemoryParameters: rw(197),
    virDomainGetNumaParameters: ro(255),
    virDomainSetNumaParameters: rw(254),
    virDomainMemoryPeek: rw(104),
    virDomainStartDirtyRateCalc: rw(427)
  },
  'Block devices and block jobs': {
    virDomainBlockStats: ro(64),
    virDomainBlockStatsFlags: ro(243),
    virDomainGetBlockInfo: ro(194),
    virDomainBlockPeek: rw(103),
    virDomainBlockResize: rw(251),
    virDomainGetBlockIoTune: ro(253),
    virDomainSetBlockIoTune: rw(252),
    virDomainSetThrottleGroup: rw(451),
    virDomainDelThrottleGroup: rw(452),
    virDomainGetBlkioParameters: ro(206),
    virDomainSetBlkioParameters: rw(205),
    virDomainSetBlockThreshold: rw(386),
    virDomainBlockPull: rw(240),
    virDomainBlockRebase: rw(266),
    virDomainBlockCopy: rw(345),
    virDomainBlockCommit: rw(290),
    virDomainGetBlockJobInfo: ro(238),
    virDomainBlockJobAbort: rw(237),
    virDomainBlockJobSetSpeed: rw(239)
  },
  'Device hotplug, interfaces and passed file descriptors': {
    virDomainAttachDevice: rw(8),
    virDomainAttachDeviceFlags: rw(160),
    virDomainDetachDevice: rw(13),
    virDomainDetachDeviceFlags: rw(161),
    virDomainDetachDeviceAlias: rw(392),
    virDomainUpdateDeviceFlags: rw(174),
    virDomainFDAssociate: rw(443),
    virDomainInterfaceStats: ro(65),
    virDomainInterfaceAddresses: ro(353),
    virDomainInterfaceFree: local,
    virDomainGetInterfaceParameters: ro(257),
    virDomainSetInterfaceParameters: rw(256),
    virDomainAnnounceInterface: rw(456)
  },
  'Save, restore, managed save, core dump': {
    virDomainSave: rw(55),
    virDomainSaveFlags: rw(232),
    virDomainSaveParams: rw(440),
    virDomainRestore: rw(54),
    virDomainRestoreFlags: rw(233),
    virDomainRestoreParams: rw(441),
    virDomainSaveImageGetXMLDesc: rw(235),
    virDomainSaveImageDefineXML: rw(236),
    virDomainManagedSave: rw(182),
    virDomainHasManagedSaveImage: ro(183),
    virDomainManagedSaveRemove: rw(184),
    virDomainManagedSaveGetXMLDesc: ro(388),
    virDomainManagedSaveDefineXML: rw(389),
    virDomainCoreDump: rw(53),
    virDomainCoreDumpWithFormat: rw(334)
  },
  Snapshots: {
    virDomainSnapshotCreateXML: rw(185),
    virDomainSnapshotGetXMLDesc: ro(186),
    virDomainSnapshotNum: ro(187),
    virDomainSnapshotListNames: ro(188),
    virDomainListAllSnapshots: ro(274),
    virDomainSnapshotNumChildren: ro(246),
    virDomainSnapshotListChildrenNames: ro(247),
    virDomainSnapshotListAllChildren: ro(275),
    virDomainSnapshotLookupByName: ro(189),
    virDomainHasCurrentSnapshot: ro(190),
    virDomainSnapshotCurrent: ro(191),
    virDomainSnapshotGetParent: ro(244),
    virDomainSnapshotIsCurrent: ro(271),
    virDomainSnapshotHasMetadata: ro(272),
    virDomainRevertToSnapshot: rw(192),
    virDomainSnapshotDelete: rw(193),
    virDomainSnapshotGetName: local,
    virDomainSnapshotGetDomain: local,
    virDomainSnapshotGetConnect: local,
    virDomainSnapshotRef: local,
    virDomainSnapshotFree: local
  },
  'Checkpoints and backup': {
    virDomainCheckpointCreateXML: rw(411),
    virDomainCheckpointGetXMLDesc: ro(412),
    virDomainListAllCheckpoints: ro(413),
    virDomainCheckpointListAllChildren: ro(414),
    virDomainCheckpointLookupByName: ro(415),
    virDomainCheckpointGetParent: ro(416),
    virDomainCheckpointDelete: rw(417),
    virDomainCheckpointGetName: local,
    virDomainCheckpointGetDomain: local,
    virDomainCheckpointGetConnect: local,
    virDomainCheckpointRef: local,
    virDomainCheckpointFree: local,
    virDomainBackupBegin: rw(421),
    virDomainBackupGetXMLDesc: ro(422)
  },
  'Migration and domain jobs': {
    virDomainMigrate: steps(305),
    virDomainMigrate2: steps(305),
    virDomainMigrate3: steps(305),
    virDomainMigrateToURI: steps(305),
    virDomainMigrateToURI2: steps(305),
    virDomainMigrateToURI3: steps(305),
    virDomainMigrateGetMaxDowntime: ro(387),
    virDomainMigrateSetMaxDowntime: rw(166),
    virDomainMigrateGetCompressionCache: ro(299),
    virDomainMigrateSetCompressionCache: rw(300),
    virDomainMigrateGetMaxSpeed: rw(242),
    virDomainMigrateSetMaxSpeed: rw(207),
    virDomainMigrateStartPostCopy: rw(364),
    virDomainGetJobInfo: ro(163),
    virDomainGetJobStats: ro(298),
    virDomainAbortJob: rw(164),
    virDomainAbortJobFlags: rw(442)
  },
  'Guest agent': {
    virDomainFSFreeze: rw(335),
    virDomainFSThaw: rw(336),
    virDomainFSTrim: rw(294),
    virDomainGetFSInfo: rw(349),
    virDomainFSInfoFree: local,
    virDomainGetGuestInfo: rw(418),
    virDomainGetGuestVcpus: rw(371),
    virDomainSetGuestVcpus: rw(372),
    virDomainGetTime: rw(337),
    virDomainSetTime: rw(338),
    virDomainGetHostname: rw(277),
    virDomainSetUserPassword: rw(357),
    virDomainAuthorizedSSHKeysGet: rw(424),
    virDomainAuthorizedSSHKeysSet: rw(425),
    virDomainAgentSetResponseTimeout: rw(420)
  },
  'Security labels and launch security': {
    virDomainGetSecurityLabel: ro(121),
    virDomainGetSecurityLabelList: ro(278),
    virDomainGetLaunchSecurityInfo: rw(396),
    virDomainSetLaunchSecurityState: rw(439)
  },
  'Console, channel, graphics, input': {
    virDomainOpenConsole: rw(201),
    virDomainOpenChannel: rw(296),
    virDomainOpenGraphics: rw(249),
    virDomainOpenGraphicsFD: rw(343),
    virDomainGraphicsReload: rw(448),
    virDomainScreenshot: rw(211),
    virDomainSendKey: rw(226)
  },
  Events: {
    virConnectDomainEventRegister: ro(316),
    virConnectDomainEventDeregister: ro(317),
    virConnectDomainEventRegisterAny: ro(316),
    virConnectDomainEventDeregisterAny: ro(317)
  },
  'QEMU-specific': {
    virDomainQemuMonitorCommand: qemu(1),
    virDomainQemuMonitorCommandWithFiles: qemu(7),
    virDomainQemuAgentCommand: qemu(3),
    virConnectDomainQemuMonitorEventRegister: qemu(4),
    virConnectDomainQemuMonitorEventDeregister: qemu(5)
  },
  'Refused by libvirt too': {
    virConnectDomainXMLFromNative: refused(135),
    virDomainCreateXMLWithFiles: refused(309),
    virDomainCreateWithFiles: refused(310),
    virDomainSendProcessSignal: refused(295),
    virDomainQemuAttach: refused(2, 'qemu')
  }
}

/** Calls of libvirt's protocol that clients make for virDomainMigrate* and virDomainMigrateToURI*; no headers have them. */
const PHASES: Readonly<Record<string, ApiFact>> = {
  virDomainMigrateBegin3: rw(213),
  virDomainMigratePrepare3: rw(214),
  virDomainMigratePerform3: rw(216),
  virDomainMigrateFinish3: rw(217),
  virDomainMigrateConfirm3: rw(218),
  virDomainMigrateBegin3Params: rw(302),
  virDomainMigratePrepare3Params: rw(303),
  virDomainMigratePrepareTunnel3Params: rw(304),
  virDomainMigratePerform3Params: rw(305),
  virDomainMigrateFinish3Params: rw(306),
  virDomainMigrateConfirm3Params: rw(307)
}

/** Every API by its name. */
export const API_FACTS: Readonly<Record<string, ApiFact>> = Object.assign({}, ...Object.values(API_AREAS), PHASES)

/** libvirt's files of public functions that report errors of their own domain; the first that fits counts. */
const LIBRARY_DOMAINS: [pattern: RegExp, domain: ErrorDomain][] = [
  [/^virConnect(Open|Close)|Qemu/, 'VIR_FROM_NONE'], // libvirt.c, libvirt-qemu.c
  [/Snapshot/, 'VIR_FROM_DOMAIN_SNAPSHOT'],
  [/Checkpoint/, 'VIR_FROM_DOMAIN_CHECKPOINT'],
  [/^virNodeDevice/, 'VIR_FROM_NODEDEV']
]

/** The domain of errors that libvirt's public function itself reports: VIR_FROM_THIS of the file it is in. */
export function libraryDomain(api: string): ErrorDomain {
  return LIBRARY_DOMAINS.find(([pattern]) => pattern.test(api))?.[1] ?? 'VIR_FROM_DOMAIN'
}
